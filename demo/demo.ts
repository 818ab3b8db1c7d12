/**
 * Shows the main job: the real hook, real images, a real guest. Called as libvirt calls it, but no libvirt is needed.
 */
import { bootSector, disk } from "./guest.ts";
import { type Counts, countsIn, startupScript } from "./uefi.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const DOMAIN = "demo";

const folder = Deno.makeTempDirSync({ prefix: "autorevert-demo-" });
const images = `${folder}/images`;
const image = `${images}/os.img`;
const config = `${folder}/config`;
const firmware = `${folder}/firmware`;
const variables = `${firmware}/uefi_VARS.fd`;
const places = {
  IMAGE_DIRS: images,
  FIRMWARE_DIRS: firmware,
  CONFIG_DIR: config,
  SAVE_DIR: `${folder}/save`,
  LOG: `${folder}/hooks.log`,
  QEMU_IMG: which("qemu-img"),
  CONFIG_OWNER: String(Deno.uid()),
  DIST: `${folder}/dist`,
};
/** The script form is started through the PATH. */
const PATH = `${folder}/bin:${Deno.env.get("PATH")}`;

try {
  await demonstrate();
} finally {
  Deno.removeSync(folder, { recursive: true });
}

async function demonstrate(): Promise<void> {
  for (const made of [images, firmware, config, `${folder}/save`, `${folder}/bin`]) {
    Deno.mkdirSync(made, { mode: 0o755 });
  }
  Deno.symlinkSync(Deno.execPath(), `${folder}/bin/deno`);
  const hook = await build();

  Deno.writeFileSync(`${folder}/disk.raw`, disk({ stay: false }));
  await run(which("qemu-img"), ["convert", "-f", "raw", "-O", "qcow2", `${folder}/disk.raw`, image]);
  say(
    `The guest is one boot sector of ${
      bootSector({ stay: false }).length
    } bytes: it counts a number on its disk up, and powers off.`,
  );
  say(`Its disk is os.img; libvirt's part, calling the hook before and after, is played by this demo.`);

  configure(false);
  await boot(hook, "Two boots. Each begins with the disk as it was:");
  await boot(hook);
  configure(true);
  await boot(hook, 'One boot with "one-shot-commit": true. It is kept, and the flag clears itself:');
  await boot(hook, "Two boots more. Each begins with what was kept:");
  await boot(hook);
  say("\nThe last life cycle as the log has it:");
  say(lastCycle(Deno.readTextFileSync(places.LOG)));
  await demonstrateSeats(hook);
  if (Deno.env.get("UEFI") === "1") await demonstrateFirmware(hook);
}

/** The same disk as the master of three seats, which run while it is committed. */
async function demonstrateSeats(hook: string): Promise<void> {
  const seats = ["seat1", "seat2", "seat3"];
  for (const seat of seats) {
    const text = JSON.stringify({ disks: [{ target: "vda", master: image }] });
    Deno.writeTextFileSync(`${config}/${seat}.json`, text, { mode: 0o644 });
  }
  say("\nThree seats, whose images need not be there, begin with os.img as their master:");
  for (const seat of seats) say(`  ${seat} counts ${await come(hook, seat)}`);
  configure(true);
  const counted = await come(hook, DOMAIN);
  await go(hook, DOMAIN);
  say(`\nWhile they run, a session of the master is kept: it counts ${counted}. Its merge waits for them:`);
  say(`  ${files()}`);
  await go(hook, "seat1");
  say("\nThe first seat starts again and has the new state; the others stay on the one they began with:");
  say(`  seat1 counts ${await come(hook, "seat1")}, seat2 counts on to ${await power("seat2")}`);
  for (const seat of seats) await go(hook, seat);
  await merged("os.img + os.img.autorevert-master + os.img.backing_file.1");
  say("\nWith the end of the last seat the commit is merged, and idle seats take no room:");
  say(`  ${files()} holds ${await count()}`);
}

/** A guest whose UEFI variables go back with its disk. */
async function demonstrateFirmware(hook: string): Promise<void> {
  const efi = `${folder}/efi`;
  Deno.mkdirSync(efi);
  Deno.writeTextFileSync(`${efi}/startup.nsh`, startupScript({ stays: false }));
  await run(which("qemu-img"), ["convert", "-f", "vvfat", "-O", "qcow2", `fat:${efi}`, imageOf("uefi")]);
  say("\nA guest with UEFI counts its boots in a variable and in a file on its disk. Two boots:");
  const told = ({ counted, disk }: Counts) =>
    `  its variables count ${counted}, its disk has the count ${disk}`;
  for (const commit of [false, false, true, false]) {
    if (commit) say('One boot with "one-shot-commit": true, and another one:');
    const disks = [{ target: "vda", "one-shot-commit": commit }];
    const text = JSON.stringify({ disks, firmware: true });
    Deno.writeTextFileSync(`${config}/uefi.json`, text, { mode: 0o644 });
    await event(hook, "uefi", "prepare", "begin", "-");
    // What libvirt does for a guest that has none yet.
    if ([...Deno.readDirSync(firmware)].length === 0) {
      Deno.copyFileSync("/usr/share/OVMF/OVMF_VARS_4M.fd", variables);
    }
    await event(hook, "uefi", "start", "begin", "-");
    await event(hook, "uefi", "started", "begin", "-");
    say(told(countsIn(await powerUefi())));
    await go(hook, "uefi");
  }
}

async function powerUefi(): Promise<string> {
  const flash = (file: string, more: string) => ["-drive", `if=pflash,format=raw,file=${file}${more}`];
  return await run(which("qemu-system-x86_64"), [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,accel=tcg", "-m", "128"],
    ...["-serial", "stdio", "-drive", `file=${imageOf("uefi")},format=qcow2,if=virtio`],
    ...flash("/usr/share/OVMF/OVMF_CODE_4M.fd", ",readonly=on"),
    ...flash(variables, ""),
  ]);
}

/** Makes the hook for the demo's own folder: the binary, or where its runtime can't be had, the script. */
async function build(): Promise<string> {
  const make = (program: string, ...form: string[]) =>
    new Deno.Command(`${ROOT}build/deno`, {
      args: ["run", "--quiet", "--no-check", "-A", `${ROOT}build/build.ts`, ...form],
      env: { ...places, PROGRAMS: program },
      stdout: "null",
      stderr: "piped",
    }).output();
  const [binary, script] = [`${places.DIST}/qemu`, `${places.DIST}/qemu.js`];
  if ((await make(binary)).success) return binary;
  const { success, stderr } = await make(script, "--script");
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  say("The runtime for a binary can't be had on this network: this is the hook as a script.\n");
  return script;
}

function configure(commit: boolean): void {
  const text = JSON.stringify({ disks: [{ target: "vda", "one-shot-commit": commit }] });
  Deno.writeTextFileSync(`${config}/${DOMAIN}.json`, text, { mode: 0o644 });
}

/** One life cycle, with the events that libvirt would give the hook. */
async function boot(hook: string, title?: string): Promise<void> {
  if (title !== undefined) say(`\n${title}`);
  await event(hook, DOMAIN, "prepare", "begin", "-");
  await event(hook, DOMAIN, "started", "begin", "-");
  const during = files();
  const counted = await power(DOMAIN);
  await go(hook, DOMAIN);
  await merged("os.img");
  const flag = /true|false/.exec(Deno.readTextFileSync(`${config}/${DOMAIN}.json`))![0];
  say(
    `  the guest counts ${counted}   while it runs: ${during}   after: ${files()} holds ${await count()}, flag ${flag}`,
  );
}

/** A start, up to what the guest counts. */
async function come(hook: string, domain: string): Promise<string> {
  await event(hook, domain, "prepare", "begin", "-");
  await event(hook, domain, "started", "begin", "-");
  return await power(domain);
}

/** An end. */
async function go(hook: string, domain: string): Promise<void> {
  await event(hook, domain, "stopped", "end", "-");
  await event(hook, domain, "release", "end", "shutdown");
}

/** Runs the guest's machine on its image. @returns what it counts */
async function power(domain: string): Promise<string> {
  const counted = await run(which("qemu-system-x86_64"), [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc,accel=tcg", "-m", "8"],
    ...["-serial", "stdio", "-drive", `file=${imageOf(domain)},format=qcow2,if=virtio`],
  ]);
  return counted.trim();
}

function imageOf(domain: string): string {
  return domain === DOMAIN ? image : `${images}/${domain}.img`;
}

async function event(hook: string, domain: string, ...words: string[]): Promise<void> {
  const xml = `<domain type='qemu'><name>${domain}</name>${
    domain === "uefi" ? `<os><nvram>${variables}</nvram></os>` : ""
  }<devices><disk type='file' device='disk'>
    <driver name='qemu' type='qcow2'/><source file='${
    imageOf(domain)
  }'/><target dev='vda' bus='virtio'/></disk></devices></domain>`;
  await run(hook, [domain, ...words], xml);
}

/** A commit is merged by a process of its own; the demo waits for it, libvirt doesn't. */
async function merged(expected: string): Promise<void> {
  for (let tries = 0; files() !== expected; tries++) {
    if (tries === 1000) throw new Error(`the merge didn't end:\n${Deno.readTextFileSync(places.LOG)}`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

function files(): string {
  return [...Deno.readDirSync(images)].map(({ name }) => name).sort().join(" + ");
}

/** The number that lies on the disk. */
async function count(): Promise<number> {
  await run(which("qemu-img"), ["convert", "-f", "qcow2", "-O", "raw", image, `${folder}/now.raw`]);
  return new DataView(Deno.readFileSync(`${folder}/now.raw`).buffer).getUint16(512, true);
}

function lastCycle(log: string): string {
  const lines = log.trimEnd().replaceAll(folder, "").split("\n");
  const begin = lines.findLastIndex((line) => line.includes(": new session: "));
  return lines.slice(begin).map((line) => `  ${line}`).join("\n");
}

async function run(program: string, args: string[], input = ""): Promise<string> {
  const child = new Deno.Command(program, {
    args,
    env: { PATH, LC_ALL: "C" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  // A hook that has nothing to do doesn't read its input.
  await writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
  const { success, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${text(stderr)}`);
  return text(stdout);
}

function which(program: string): string {
  for (const folder of ["/usr/local/bin", "/usr/bin", "/bin"]) {
    try {
      if (Deno.statSync(`${folder}/${program}`).isFile) return `${folder}/${program}`;
    } catch {
      continue;
    }
  }
  throw new Error(`there is no ${program}`);
}

function say(line: string): void {
  console.log(line);
}
