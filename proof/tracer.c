/*
 * Runs a command and counts the calls of the system that its whole tree makes on files: every process and thread of it,
 * those that outlive the command, too. Call number N can be the moment at which all of them are killed, or can fail.
 *
 *   tracer [--under FOLDER] [--but FILE] [--calls change|open|all] [--report FILE] [--record FILE]
 *          [--kill-at N | --fail-at N --errno NUMBER | --hold FILE] -- COMMAND ARGUMENT...
 *
 * --under   counts only calls on that folder and what lies below it; by default, and if it is empty, on all files
 * --but     leaves out calls on that file
 * --calls   change: what changes a file or makes a change durable; open: opening and executing, too;
 *           all: reading, looking and locking, too
 * --report  is given "COUNT", and the call that was struck, as "COUNT PROGRAM CALL PATH"
 * --hold    is made before each call, which is not done until it is gone again
 * --record  is given a line of JSON for each call that is done, in their order, one call at a time
 *
 * It ends when the last process of the tree has ended, with the exit code of COMMAND; 99 if it couldn't do its work.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "this tracer knows the registers of x86_64 only"
#endif

enum level { CHANGE, OPEN, ALL };

/* Which arguments name the file: descriptors and paths by their place, -1 where there is none. */
struct call {
  long number;
  const char *name;
  enum level level;
  int folder, path, folder_to, path_to;
};

#define ON_FILE(name, level) { SYS_##name, #name, level, 0, -1, -1, -1 }
#define ON_PATH(name, level) { SYS_##name, #name, level, -1, 0, -1, -1 }
#define AT_PATH(name, level) { SYS_##name, #name, level, 0, 1, -1, -1 }

static const struct call calls[] = {
  ON_FILE(write, CHANGE), ON_FILE(pwrite64, CHANGE), ON_FILE(writev, CHANGE), ON_FILE(pwritev, CHANGE),
  ON_FILE(pwritev2, CHANGE), ON_FILE(fsync, CHANGE), ON_FILE(fdatasync, CHANGE), ON_FILE(sync_file_range, CHANGE),
  ON_FILE(ftruncate, CHANGE), ON_FILE(fallocate, CHANGE), ON_FILE(fchmod, CHANGE), ON_FILE(fchown, CHANGE),
  ON_FILE(sendfile, CHANGE),
  { SYS_copy_file_range, "copy_file_range", CHANGE, 2, -1, -1, -1 },
  ON_PATH(truncate, CHANGE), ON_PATH(creat, CHANGE), ON_PATH(unlink, CHANGE), ON_PATH(rmdir, CHANGE),
  ON_PATH(mkdir, CHANGE), ON_PATH(chmod, CHANGE), ON_PATH(chown, CHANGE), ON_PATH(lchown, CHANGE),
  AT_PATH(unlinkat, CHANGE), AT_PATH(mkdirat, CHANGE), AT_PATH(fchmodat, CHANGE), AT_PATH(fchownat, CHANGE),
  AT_PATH(utimensat, CHANGE),
  { SYS_rename, "rename", CHANGE, -1, 0, -1, 1 },
  { SYS_renameat, "renameat", CHANGE, 0, 1, 2, 3 },
  { SYS_renameat2, "renameat2", CHANGE, 0, 1, 2, 3 },
  { SYS_link, "link", CHANGE, -1, 0, -1, 1 },
  { SYS_linkat, "linkat", CHANGE, 0, 1, 2, 3 },
  { SYS_symlink, "symlink", CHANGE, -1, 1, -1, -1 },
  { SYS_symlinkat, "symlinkat", CHANGE, 1, 2, -1, -1 },
  /* Change something only with some flags. */
  ON_PATH(open, CHANGE), AT_PATH(openat, CHANGE),
  ON_PATH(execve, OPEN), AT_PATH(execveat, OPEN), AT_PATH(openat2, OPEN),
  { SYS_connect, "connect", OPEN, -1, -1, -1, -1 },
  { SYS_bind, "bind", OPEN, -1, -1, -1, -1 },
  ON_FILE(read, ALL), ON_FILE(pread64, ALL), ON_FILE(readv, ALL), ON_FILE(preadv, ALL), ON_FILE(getdents64, ALL),
  ON_FILE(flock, ALL), ON_FILE(fstat, ALL),
  /* Of no file, but a program that is to be run needs it. */
  { SYS_pipe2, "pipe2", ALL, -1, -1, -1, -1 },
  ON_PATH(stat, ALL), ON_PATH(lstat, ALL), ON_PATH(access, ALL), ON_PATH(readlink, ALL), ON_PATH(statfs, ALL),
  AT_PATH(statx, ALL), AT_PATH(newfstatat, ALL), AT_PATH(faccessat, ALL), AT_PATH(faccessat2, ALL),
  AT_PATH(readlinkat, ALL),
};
enum { CALLS = sizeof calls / sizeof *calls };

/* One thread of the tree, and the call that it is in. */
struct tracee {
  pid_t id;
  const struct call *call;
  struct user_regs_struct at;
  char path[PATH_MAX], path_to[PATH_MAX];
  int waits;
};

static struct tracee tracees[4096];
static int tracee_count;
static struct tracee *recorded; /* the one call that is let through while recording */
static long count, kill_at, fail_at, error_number;
static const char *hold, *but;
static enum level level = CHANGE;
static const char *under;
static FILE *record;
static int killing;
static char struck[3 * PATH_MAX];

static void die(const char *what) {
  perror(what);
  exit(99);
}

static struct tracee *tracee_of(pid_t id) {
  for (int i = 0; i < tracee_count; i++)
    if (tracees[i].id == id) return &tracees[i];
  for (int i = 0; i < tracee_count; i++)
    if (tracees[i].id == 0) return tracees[i] = (struct tracee){ .id = id }, &tracees[i];
  if (tracee_count == sizeof tracees / sizeof *tracees) die("too many threads");
  tracees[tracee_count] = (struct tracee){ .id = id };
  return &tracees[tracee_count++];
}

static const struct call *call_of(long number) {
  for (int i = 0; i < CALLS; i++)
    if (calls[i].number == number) return &calls[i];
  return NULL;
}

static unsigned long argument(const struct user_regs_struct *at, int place) {
  const unsigned long all[] = { at->rdi, at->rsi, at->rdx, at->r10, at->r8, at->r9 };
  return all[place];
}

static size_t memory(pid_t id, unsigned long from, void *to, size_t length) {
  struct iovec here = { to, length }, there = { (void *)from, length };
  ssize_t got = process_vm_readv(id, &here, 1, &there, 1, 0);
  return got < 0 ? 0 : (size_t)got;
}

static void text(pid_t id, unsigned long from, char *to, size_t size) {
  size_t got = 0;
  to[0] = 0;
  /* By pages: the next one may not be there. */
  while (got < size - 1) {
    size_t piece = 4096 - (from + got) % 4096;
    if (piece > size - 1 - got) piece = size - 1 - got;
    size_t read = memory(id, from + got, to + got, piece);
    to[got + read] = 0;
    if (read < piece || strlen(to) < got + read) return;
    got += read;
  }
}

static void linked(char *to, size_t size, const char *format, ...) {
  char name[PATH_MAX];
  va_list more;
  va_start(more, format);
  vsnprintf(name, sizeof name, format, more);
  va_end(more);
  ssize_t length = readlink(name, to, size - 1);
  to[length < 0 ? 0 : length] = 0;
}

static void where(const struct tracee *t, int folder, int path, char *to, size_t size) {
  char given[PATH_MAX] = "", base[PATH_MAX];
  if (path >= 0) text(t->id, argument(&t->at, path), given, sizeof given);
  if (given[0] == '/') {
    snprintf(to, size, "%s", given);
    return;
  }
  if (folder >= 0 && (int)argument(&t->at, folder) != AT_FDCWD)
    linked(base, sizeof base, "/proc/%d/fd/%d", t->id, (int)argument(&t->at, folder));
  else if (path >= 0)
    linked(base, sizeof base, "/proc/%d/cwd", t->id);
  else
    base[0] = 0;
  if (given[0]) snprintf(to, size, "%.*s/%.*s", PATH_MAX / 2 - 2, base, PATH_MAX / 2 - 2, given);
  else snprintf(to, size, "%s", base);
}

static const char *program(pid_t id) {
  static char exe[PATH_MAX];
  linked(exe, sizeof exe, "/proc/%d/exe", id);
  char *slash = strrchr(exe, '/');
  return slash ? slash + 1 : exe;
}

static int is_under(const char *path) {
  if (but && strcmp(path, but) == 0) return 0;
  if (!under) return path[0] == '/';
  size_t length = strlen(under);
  return strncmp(path, under, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* Whether the call that the tracee stands before is one that counts. */
static int counts(struct tracee *t) {
  const struct call *call = t->call = call_of(t->at.orig_rax);
  if (!call) return 0;
  if (call->number == SYS_open || call->number == SYS_openat) {
    unsigned long flags = argument(&t->at, call->number == SYS_open ? 1 : 2);
    if (level == CHANGE && !(flags & (O_CREAT | O_TRUNC))) return 0;
  }
  if (call->number == SYS_connect || call->number == SYS_bind) {
    snprintf(t->path, sizeof t->path, "/socket");
    return level >= OPEN && !under;
  }
  if (call->number == SYS_pipe2) {
    snprintf(t->path, sizeof t->path, "/pipe");
    /* Before, the program is only starting itself. */
    return count > 0;
  }
  where(t, call->folder, call->path, t->path, sizeof t->path);
  t->path_to[0] = 0;
  if (call->path_to >= 0) where(t, call->folder_to, call->path_to, t->path_to, sizeof t->path_to);
  return is_under(t->path) || is_under(t->path_to);
}

static void quoted(const char *key, const char *value) {
  fprintf(record, ",\"%s\":\"", key);
  for (; *value; value++) {
    if ((unsigned char)*value < ' ' || *value == '"' || *value == '\\') fprintf(record, "\\u%04x", *value);
    else putc(*value, record);
  }
  putc('"', record);
}

static void write_data(const struct tracee *t, long length) {
  int fd = (int)argument(&t->at, 0);
  long number = t->call->number;
  long offset = (long)argument(&t->at, 3);
  if (number == SYS_write || number == SYS_writev) {
    char name[PATH_MAX];
    snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", t->id, fd);
    FILE *info = fopen(name, "r");
    if (!info || fscanf(info, "pos: %ld", &offset) != 1) die(name);
    fclose(info);
    offset -= length;
  }
  unsigned char *data = malloc((size_t)length + 1);
  if (!data) die("malloc");
  if (number == SYS_write || number == SYS_pwrite64) {
    if (memory(t->id, argument(&t->at, 1), data, (size_t)length) != (size_t)length) die("data");
  } else {
    struct iovec pieces[IOV_MAX];
    size_t many = argument(&t->at, 2), done = 0;
    if (many > IOV_MAX || memory(t->id, argument(&t->at, 1), pieces, many * sizeof *pieces) == 0) die("vector");
    for (size_t i = 0; i < many && done < (size_t)length; i++) {
      size_t piece = pieces[i].iov_len < (size_t)length - done ? pieces[i].iov_len : (size_t)length - done;
      if (memory(t->id, (unsigned long)pieces[i].iov_base, data + done, piece) != piece) die("data");
      done += piece;
    }
  }
  fprintf(record, ",\"offset\":%ld,\"data\":\"", offset);
  for (long i = 0; i < length; i++) fprintf(record, "%02x", data[i]);
  fprintf(record, "\"");
  free(data);
}

/* The call is done: one line of the record. */
static void note(struct tracee *t) {
  struct user_regs_struct after;
  if (ptrace(PTRACE_GETREGS, t->id, 0, &after) < 0) return;
  long result = (long)after.rax;
  fprintf(record, "{\"process\":%d", t->id);
  quoted("program", program(t->id));
  quoted("call", t->call->name);
  quoted("path", t->path);
  if (t->path_to[0]) quoted("to", t->path_to);
  fprintf(record, ",\"result\":%ld", result);
  long number = t->call->number;
  int opens = number == SYS_open || number == SYS_openat;
  if (opens) fprintf(record, ",\"flags\":%lu", argument(&t->at, number == SYS_open ? 1 : 2));
  int fd = opens ? (int)result : t->call->path < 0 && t->call->folder >= 0 ? (int)argument(&t->at, t->call->folder) : -1;
  if (fd >= 0 && level == CHANGE) {
    char name[PATH_MAX];
    struct stat info;
    snprintf(name, sizeof name, "/proc/%d/fd/%d", t->id, fd);
    if (stat(name, &info) == 0) fprintf(record, ",\"file\":%lu", info.st_ino);
  }
  if (level == CHANGE && result >= 0) {
    if (number == SYS_write || number == SYS_pwrite64 || number == SYS_writev || number == SYS_pwritev ||
        number == SYS_pwritev2)
      write_data(t, result);
    if (number == SYS_ftruncate) fprintf(record, ",\"length\":%lu", argument(&t->at, 1));
    if (number == SYS_fallocate)
      fprintf(record, ",\"mode\":%lu,\"offset\":%lu,\"length\":%lu", argument(&t->at, 1), argument(&t->at, 2),
              argument(&t->at, 3));
  }
  fprintf(record, "}\n");
}

static void kill_all(void) {
  killing = 1;
  for (int i = 0; i < tracee_count; i++)
    if (tracees[i].id != 0) kill(tracees[i].id, SIGKILL);
}

/* Lets a tracee that stands before a call that counts go on, in whatever way was asked for. */
static void pass(struct tracee *t) {
  count++;
  if (count == kill_at || count == fail_at)
    snprintf(struck, sizeof struck, "%s %s %s", program(t->id), t->call->name, t->path_to[0] ? t->path_to : t->path);
  if (hold) {
    int file = open(hold, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 || close(file) < 0) die(hold);
    while (access(hold, F_OK) == 0) usleep(500);
  }
  if (count == kill_at) {
    kill_all();
  } else if (count == fail_at) {
    t->at.orig_rax = (unsigned long long)-1;
    t->at.rax = (unsigned long long)-error_number;
    ptrace(PTRACE_SETREGS, t->id, 0, &t->at);
    ptrace(PTRACE_CONT, t->id, 0, 0);
  } else if (record) {
    recorded = t;
    ptrace(PTRACE_SYSCALL, t->id, 0, 0);
  } else {
    ptrace(PTRACE_CONT, t->id, 0, 0);
  }
}

/* One call at a time, so that the record's order is the order in which they happened. */
static void next(void) {
  recorded = NULL;
  for (int i = 0; i < tracee_count && !recorded; i++) {
    if (tracees[i].id == 0 || !tracees[i].waits) continue;
    tracees[i].waits = 0;
    pass(&tracees[i]);
  }
}

static void stopped(pid_t id, int status) {
  struct tracee *t = tracee_of(id);
  if (killing) {
    kill(id, SIGKILL);
    ptrace(PTRACE_CONT, id, 0, 0);
    return;
  }
  int signal = WSTOPSIG(status), event = status >> 16;
  if (event == PTRACE_EVENT_SECCOMP) {
    if (ptrace(PTRACE_GETREGS, id, 0, &t->at) < 0) return;
    if (!counts(t)) ptrace(PTRACE_CONT, id, 0, 0);
    else if (record && recorded) t->waits = 1;
    else pass(t);
  } else if (event != 0) {
    /* Between the entry of execve and its return. */
    ptrace(t == recorded ? PTRACE_SYSCALL : PTRACE_CONT, id, 0, 0);
  } else if (signal == (SIGTRAP | 0x80)) {
    if (t == recorded) note(t);
    ptrace(PTRACE_CONT, id, 0, 0);
    if (t == recorded) next();
  } else {
    ptrace(t == recorded ? PTRACE_SYSCALL : PTRACE_CONT, id, 0, signal);
  }
}

static void filter(void) {
  struct sock_filter program[2 * CALLS + 8];
  unsigned short length = 0;
  program[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int i = 0; i < CALLS; i++) {
    if (calls[i].level > level) continue;
    program[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, 0, 1);
    program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
  }
  program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog whole = { length, program };
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole) < 0)
    die("seccomp");
}

int main(int argc, char **argv) {
  const char *report = NULL;
  int i = 1;
  for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
    const char *value = argv[i + 1];
    if (strcmp(argv[i], "--under") == 0) under = value[0] ? value : NULL;
    else if (strcmp(argv[i], "--calls") == 0) level = value[0] == 'a' ? ALL : value[0] == 'o' ? OPEN : CHANGE;
    else if (strcmp(argv[i], "--report") == 0) report = value;
    else if (strcmp(argv[i], "--record") == 0) record = fopen(value, "we");
    else if (strcmp(argv[i], "--kill-at") == 0) kill_at = atol(value);
    else if (strcmp(argv[i], "--fail-at") == 0) fail_at = atol(value);
    else if (strcmp(argv[i], "--but") == 0) but = value;
    else if (strcmp(argv[i], "--hold") == 0) hold = value;
    else if (strcmp(argv[i], "--errno") == 0) error_number = atol(value);
    else die(argv[i]);
  }
  if (i + 1 >= argc) die("no command");

  int gate[2];
  if (pipe2(gate, O_CLOEXEC) < 0) die("pipe");
  pid_t command = fork();
  if (command == 0) {
    char byte;
    close(gate[1]);
    if (read(gate[0], &byte, 1) != 1) _exit(99);
    filter();
    execvp(argv[i + 1], argv + i + 1);
    die(argv[i + 1]);
  }
  long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                 PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SEIZE, command, 0, options) < 0) die("ptrace");
  tracee_of(command);
  if (write(gate[1], "", 1) != 1) die("gate");

  int status, code = 99;
  for (pid_t id; (id = waitpid(-1, &status, __WALL)) > 0;) {
    if (WIFSTOPPED(status)) {
      stopped(id, status);
      continue;
    }
    struct tracee *t = tracee_of(id);
    t->id = 0;
    t->waits = 0;
    if (t == recorded) next();
    if (id == command) code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  if (record && fclose(record) != 0) die("record");
  if (report) {
    FILE *file = fopen(report, "we");
    if (!file) die(report);
    fprintf(file, "%ld %s\n", count, struck);
    if (fclose(file) != 0) die(report);
  }
  return code;
}
