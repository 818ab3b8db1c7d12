# What the installation asks about files that are there: build/ reads it, and packaging/fill puts it into a package's scripts.

# What systemd gives libvirtd: an administrator's may have a Deno that libvirtd hasn't.
as_libvirtd() { PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
told_by() { as_libvirtd "$1" --version 2>/dev/null </dev/null; } # PROGRAM
# A gate is told by its text: with DESTDIR its program isn't there yet.
is_gate() { head -c 100 "$1" 2>/dev/null | grep -aq '^# The gate of autorevert: '; }
# A script that only calls the program is its author's: ours is a binary, or begins with its call of Deno.
is_program() { head -c 4096 "$1" 2>/dev/null | grep -aq -e '^.ELF' -e ' deno run --no-prompt '; }
is_ours() { is_gate "$1" || { is_program "$1" && [ "$(told_by "$1" | awk 'NR == 1 { print $1 }')" = autorevert ]; }; }
# The command of an installation from source.
is_command() { head -c 100 "$1" 2>/dev/null | grep -aq '^# The command of autorevert: '; }
# A line that is no comment names it.
calls_ours() { grep -aqs '^[^#]*autorevert' "$1"; }
config_of() { # PROGRAM, or gate
  if is_gate "$1"; then sed -n 's/^config=//p' "$1"; else told_by "$1" | sed -n 's/^configuration  *//p'; fi
}
folders_of() { # PROGRAM
  told_by "$1" | awk '/^[a-z]/ { on = /^(image folders|firmware) / } on { print $NF }' | grep '^/' || true
}
not_among() { # OLD NEW: those of the old folders, one per line, that lie in none of the new ones
  for old in $1; do
    for new in $2; do
      case $old/ in "$new"/*) continue 2 ;; esac
    done
    echo "$old"
  done
}
is_shared() { # FOLDER: whether another host may have it in common
  case $(stat -f -c %T "$1" 2>/dev/null) in
    nfs* | cifs | smb* | fuse* | ceph | gfs* | ocfs* | lustre | gpfs | v9fs | afs) ;;
    *) return 1 ;;
  esac
}
