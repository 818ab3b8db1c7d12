import { assert, assertEquals, assertRejects } from "@std/assert";
import { UserError } from "../lib/errors.ts";
import { qemuImg } from "../lib/host/qemu_img.ts";
import { defaults } from "../lib/settings.ts";
import { openInQemu, qemuIo } from "./qemu.ts";
import { temporaryFolder } from "./fixture.ts";

/** Runs a test in a folder of its own. */
function test(promise: string, run: (folder: string) => Promise<void>): void {
  Deno.test(promise, async () => {
    const folder = temporaryFolder();
    try {
      await run(folder);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

/** A program that does this instead of `qemu-img`. */
function script(folder: string, text: string): string {
  const path = `${folder}/qemu-img`;
  Deno.writeTextFileSync(path, `#!/bin/sh\n${text}\n`);
  Deno.chmodSync(path, 0o755);
  return path;
}

const calls = {
  create: (program: string, patience?: number) => qemuImg(program, patience).create("/o", "/b"),
  commit: (program: string, patience?: number) => qemuImg(program, patience).commit("/o", "/l"),
  info: (program: string, patience?: number) => qemuImg(program, patience).info("/o"),
};

test("what qemu-img says when it fails is told on one line", async (folder) => {
  const program = script(folder, "echo 'qemu-img: first' >&2; echo second >&2; exit 1");
  for (const command of ["create", "commit"] as const) {
    const { message } = await assertRejects(() => calls[command](program), UserError);
    assertEquals(message, `qemu-img ${command} failed with exit code 1: qemu-img: first second`);
  }
});

test("a qemu-img that says a lot is cut short", async (folder) => {
  const program = script(folder, "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1");
  assert((await assertRejects(() => calls.create(program), UserError)).message.length < 1100);
});

test("a qemu-img that was killed is told so", async (folder) => {
  const program = script(folder, "kill -9 $$");
  for (const [command, call] of Object.entries(calls)) {
    const { message } = await assertRejects(() => call(program), UserError);
    assertEquals(message, `qemu-img ${command} was killed by SIGKILL`);
  }
});

test("a qemu-img that hangs is killed, and the next event may heal it", async (folder) => {
  const program = script(folder, `echo $$ > ${folder}/pid; exec sleep 1000`);
  for (const [command, patience] of [["create", 10], ["info", 1000]] as const) {
    const trouble = await assertRejects(() => calls[command](program, patience), UserError);
    assertEquals(
      trouble.message,
      `qemu-img ${command} did not answer within ${patience / 1000} s and was killed`,
    );
    assertEquals(trouble.hint, "look at the storage: the image's disk or its server may be gone");
    assertEquals(trouble.healedBy, "event");
  }
  await gone(Number(Deno.readTextFileSync(`${folder}/pid`)));
});

/** Returns when a process has ended; never, if it doesn't. */
async function gone(pid: number): Promise<void> {
  const dead = () => {
    try {
      return /^State:\s+[ZX]/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
    } catch {
      return true;
    }
  };
  while (!dead()) await new Promise((resolve) => setTimeout(resolve, 1));
}

test("a merge may take as long as it wants", async (folder) => {
  await calls.commit(script(folder, "sleep 0.05"), 1);
});

test("a merge tells its progress as it goes", async (folder) => {
  const program = script(
    folder,
    `test "$*" = 'commit -p -d -f qcow2 -b /l /o' || exit 9
    printf '    (0.00/100%%)\\r    (1.50/100%%)\\r'; sleep 0.1
    printf '    (50.00/100%%)\\r    (100/100%%)\\r\\n'; echo 'Image committed.'`,
  );
  const told: number[] = [];
  await qemuImg(program).commit("/o", "/l", { progress: (percent) => told.push(percent) });
  assertEquals(told, [0, 1.5, 50, 100]);
});

test("a merge takes no more of the disk than it may", async (folder) => {
  const program = script(folder, `test "$*" = 'commit -p -d -r 1024 -f qcow2 -b /l /o' || exit 9`);
  await qemuImg(program).commit("/o", "/l", { rate: 1024 });
});

test("a merge that is asked to stop is killed at once, even if it was asked before it began", async (folder) => {
  const program = script(folder, `echo $$ > ${folder}/pid; exec sleep 1000`);
  for (const delay of [200, 0]) {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), delay);
    if (delay === 0) controller.abort();
    const { message } = await assertRejects(
      () => qemuImg(program).commit("/o", "/l", { stop: controller.signal }),
      UserError,
    );
    clearTimeout(timer);
    assertEquals(message, "qemu-img commit was killed by SIGKILL");
  }
  const repair = qemuImg(program).repair("/o", "leaks", { stop: AbortSignal.abort() });
  assertEquals(
    (await assertRejects(() => repair, UserError)).message,
    "qemu-img check was killed by SIGKILL",
  );
  await gone(Number(Deno.readTextFileSync(`${folder}/pid`)));
});

test("a merge that is asked to stop when it is done was done", async (folder) => {
  const controller = new AbortController();
  await qemuImg(script(folder, "true")).commit("/o", "/l", { stop: controller.signal });
  controller.abort();
});

test("leaks are repaired, and what else is wrong is told", async (folder) => {
  await qemuImg(script(folder, `test "$*" = 'check -q -r leaks -f qcow2 /o'`)).repair("/o", "leaks");
  const { message } = await assertRejects(
    () => qemuImg(script(folder, "echo corrupt >&2; exit 2")).repair("/o", "leaks"),
    UserError,
  );
  assertEquals(message, "qemu-img check failed with exit code 2: corrupt");
});

Deno.test("a qemu-img that isn't there is told, with what to install", async () => {
  const trouble = await assertRejects(
    () => calls.create("/none/qemu-img"),
    UserError,
    'cannot run "/none/qemu-img": ',
  );
  assertEquals(
    trouble.hint,
    "install it (Debian: apt install qemu-utils), or build with QEMU_IMG=/path/to/qemu-img",
  );
});

test("an answer that nobody can read is an error, not a guess", async (folder) => {
  for (const text of ["echo garbage", "true", "echo null"]) {
    const { message } = await assertRejects(() => calls.info(script(folder, text)), UserError);
    assertEquals(message, "qemu-img info answered something else than the image's description");
  }
});

test("qemu-img gets no environment but the locale, and nothing to read", async (folder) => {
  const program = script(folder, `env > ${folder}/env; cat > ${folder}/stdin`);
  await calls.create(program);
  const names = Deno.readTextFileSync(`${folder}/env`).trim().split("\n").map((line) => line.split("=")[0]);
  // The last three are the shell's own.
  assertEquals(names.filter((name) => !["PWD", "_", "SHLVL"].includes(name!)), ["LC_ALL"]);
  assertEquals(Deno.readTextFileSync(`${folder}/stdin`), "");
});

const real = qemuImg(defaults.qemuImg);
const virtualSize = 1024 * 1024;

test("the real qemu-img makes an overlay, looks at it, and merges it", async (folder) => {
  const [base, overlay] = [`${folder}/base`, `${folder}/overlay`];
  qemuIo(["create", "-f", "qcow2", base, "1M"]);
  assertEquals(await real.info(base), { kind: "free", backing: undefined, virtualSize });
  await real.create(overlay, base);
  assertEquals(await real.info(overlay), { kind: "free", backing: base, virtualSize });
  qemuIo(["write", "-P", "0x11", "0", "64k"], overlay);
  await real.commit(overlay, base);
  qemuIo(["read", "-P", "0x11", "0", "64k"], base);
});

test("the real qemu-img merges into no other file than the one that is meant", async (folder) => {
  const [base, other, overlay] = [`${folder}/base`, `${folder}/other`, `${folder}/overlay`];
  for (const image of [base, other]) qemuIo(["create", "-f", "qcow2", image, "1M"]);
  await real.create(overlay, other);
  qemuIo(["write", "-P", "0x11", "0", "64k"], overlay);
  await assertRejects(() => real.commit(overlay, base), UserError, "Did not find");
  for (const image of [base, other]) qemuIo(["read", "-P", "0", "0", "64k"], image);
});

test("the real qemu-img tells an image whose data lies in another file", async (folder) => {
  const [image, data] = [`${folder}/image`, `${folder}/data`];
  qemuIo(["create", "-f", "qcow2", "-o", `data_file=${data}`, image, "1M"]);
  assertEquals(await real.info(image), { kind: "free", backing: undefined, virtualSize, data });
});

test("the real qemu-img tells an image that was not closed, and one that is marked as corrupt", async (folder) => {
  const image = `${folder}/image`;
  qemuIo(["create", "-f", "qcow2", "-o", "lazy_refcounts=on", image, "1M"]);
  // The bits of the header's incompatible features.
  const mark = (bits: number) => {
    using file = Deno.openSync(image, { write: true });
    file.seekSync(79, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array([bits]));
  };
  mark(1);
  assertEquals(await real.info(image), { kind: "free", backing: undefined, virtualSize, isDirty: true });
  await real.repair(image, "all");
  assertEquals(await real.info(image), { kind: "free", backing: undefined, virtualSize });
  mark(2);
  assertEquals(await real.info(image), { kind: "damaged", isMarked: true });
});

test("the real qemu-img tells an image that is in use", async (folder) => {
  const base = `${folder}/base`;
  qemuIo(["create", "-f", "qcow2", base, "1M"]);
  {
    await using _user = await openInQemu(base);
    assertEquals(await real.info(base), { kind: "busy" });
    assertEquals(await real.info(base, { unlocked: true }), {
      kind: "free",
      backing: undefined,
      virtualSize,
    });
  }
  assertEquals(await real.info(base), { kind: "free", backing: undefined, virtualSize });
});

test("the real qemu-img tells a raw file that is in use", async (folder) => {
  const file = `${folder}/VARS.fd`;
  Deno.writeFileSync(file, new Uint8Array(1024));
  const look = async () => (await real.info(file, { isRaw: true })).kind;
  {
    await using _user = await openInQemu(file, "raw");
    assertEquals(await look(), "busy");
  }
  assertEquals(await look(), "damaged");
});

test("the real qemu-img tells who writes to a layer from who reads it below an overlay", async (folder) => {
  const [base, overlay] = [`${folder}/base`, `${folder}/overlay`];
  qemuIo(["create", "-f", "qcow2", base, "1M"]);
  await real.create(overlay, base);
  await using _user = await openInQemu(overlay);
  assertEquals([(await real.info(base)).kind, (await real.info(overlay)).kind], ["free", "busy"]);
});

test("a look without the lock never asks for it", async (folder) => {
  const program = script(folder, `echo "$*" >> ${folder}/asked; exit 1`);
  assertEquals(await qemuImg(program).info("/o", { unlocked: true }), { kind: "damaged" });
  assertEquals(Deno.readTextFileSync(`${folder}/asked`), "info --force-share --output=json -f qcow2 /o\n");
});

test("a look that fails for a moment says nothing of the image", async (folder) => {
  const answer = `'{"virtual-size": 1}'`;
  for (const failing of [1, 2]) {
    Deno.writeTextFileSync(`${folder}/asked`, "");
    const program = script(
      folder,
      `echo >> ${folder}/asked; [ $(wc -l < ${folder}/asked) -gt ${failing} ] || exit 1; echo ${answer}`,
    );
    assertEquals((await qemuImg(program).info("/o")).kind, "free");
  }
});

test("the real qemu-img tells an image that is none, or none any more", async (folder) => {
  const image = `${folder}/image`;
  for (const text of ["", "QFI\xfb", "x".repeat(100_000)]) {
    Deno.writeTextFileSync(image, text);
    assertEquals(await real.info(image), { kind: "damaged" });
    await assertRejects(() => real.create(`${folder}/overlay`, image), UserError, "qemu-img create failed");
  }
});

test("a raw image with a qcow2's name is not taken for what it pretends to be", async (folder) => {
  const image = `${folder}/image`;
  qemuIo(["create", "-f", "raw", image, "1M"]);
  assertEquals(await real.info(image), { kind: "damaged" });
});
