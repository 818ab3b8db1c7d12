/** What a local user without rights can place where the hook comes by, and what must not come of it. */

import { assertEquals } from "@std/assert";
import { snapshot } from "../tests/tree.ts";
import { DOMAIN } from "../tests/fixture.ts";
import { diskXml, domainXml } from "../tests/xml.ts";
import type { Places } from "./places.ts";
import { ProofFixture } from "./proof_fixture.ts";
import { sample } from "./shares.ts";
import type { Tally } from "./tally.ts";

const NOBODY = 65534;

/** Shell lines of the user, who stands in the image folder, which anybody may write. */
type Trick = readonly [name: string, lines: string];

const names = [
  "vda.img.backing_file",
  "vda.img.backing_file.1",
  "vda.img.autorevert-new",
  "vda.img.autorevert-ended",
  "vda.img.autorevert-committing",
];
const placed: readonly (readonly [what: string, line: (name: string) => string])[] = [
  ["a link to a secret", (name) => `ln -s ../secret/file ${name}`],
  ["a link to a file that isn't there", (name) => `ln -s ../secret/new ${name}`],
  ["a link to a folder", (name) => `ln -s ../secret ${name}`],
  ["a hard link to a secret", (name) => `ln ../secret/file ${name}`],
  ["a pipe that nobody writes", (name) => `mkfifo ${name}`],
  ["a folder", (name) => `mkdir ${name}`],
  ["a file of nonsense", (name) => `echo nonsense > ${name}`],
  ["an overlay on a secret", (name) => `qemu-img create -q -u -f qcow2 -F raw -b ../secret/file ${name} 1M`],
];

/** Who forges a layer or a decided commit replaces the disk, as whoever may write in its folder always can. */
const forges =
  /(a file of nonsense|an overlay on a secret) as vda\.img\.(backing_file|autorevert-committing)/;

const tricks: readonly Trick[] = [
  ...names.flatMap((name) => placed.map(([what, line]): Trick => [`${what} as ${name}`, line(name)])),
  ["names with line ends", `touch "$(printf 'vda.img.backing_file\\n2026-01-01: forged')"`],
  [
    "names that a shell or a terminal would run",
    `touch '$(touch obeyed)' '; touch obeyed' "$(printf '\\033[2J')"`,
  ],
  ["names that are no text", `touch "$(printf 'vda.img.\\377\\376')"`],
  ["a thousand layers", `for n in $(seq 1000); do touch vda.img.backing_file.0$n; done`],
  ["a layer of a huge number", "touch vda.img.backing_file.99999999999999999999"],
  ["temporary files that a runtime might trust", "mkdir -p /tmp/deno-autorevert && touch /tmp/qemu.cache"],
];

/** Each trick before a guest's start, and before its end. */
export async function hostileTricks(places: Places, tally: Tally): Promise<void> {
  if (Deno.uid() !== 0) {
    console.log("A hostile user is tried by root only: nobody else can be somebody else.");
    return;
  }
  // Otherwise the user couldn't even come to the image folder.
  Deno.chmodSync(places.folder, 0o755);
  for (const [name, lines] of sample(tricks)) {
    for (const when of ["start", "end"] as const) {
      using fixture = new ProofFixture(places);
      try {
        await tryTrick(fixture, lines, when, forges.test(name));
        tally.passed(`a user's tricks before a guest's ${when}`);
      } catch (error) {
        tally.failed(`a user's tricks before a guest's ${when}`, name, error);
      }
    }
  }
  await tryForgery(places, tally);
}

async function tryTrick(
  fixture: ProofFixture,
  lines: string,
  when: "start" | "end",
  forged: boolean,
): Promise<void> {
  Deno.chmodSync(fixture.root, 0o755);
  const secret = `${fixture.root}/secret`;
  Deno.mkdirSync(secret, { mode: 0o700 });
  Deno.writeTextFileSync(`${secret}/file`, "secret", { mode: 0o600 });
  fixture.disks({ vda: false });
  const disk = fixture.disk("vda");
  if (when === "end") {
    await event(fixture, "prepare", "-");
    await event(fixture, "started", "-");
  }
  Deno.chmodSync(fixture.images, 0o777);
  const before = [snapshot(secret), snapshot(fixture.config), Deno.lstatSync(secret).mtime];
  await new Deno.Command("/bin/sh", {
    args: ["-c", lines],
    cwd: fixture.images,
    uid: NOBODY,
    gid: NOBODY,
    stderr: "null",
  }).output();
  const start = when === "start" ? await event(fixture, "prepare", "-") : 0;
  if (start === 0) {
    if (when === "start") await event(fixture, "started", "-");
    await event(fixture, "release", "shutdown");
  } else {
    await event(fixture, "release", "failed");
  }
  assertEquals(snapshot(secret), before[0], "the secret");
  assertEquals(Deno.lstatSync(secret).mtime, before[2], "the secret's folder");
  assertEquals(fixture.files(fixture.config).filter((name) => name.includes("forged")), []);
  assertEquals(fixture.files().filter((name) => name === "obeyed"), [], "a line was obeyed");
  if (!forged) assertEquals(fixture.read(fixture.vda), disk, "the disk");
}

/** Texts that libvirt passes on from whoever may define a domain. */
async function tryForgery(places: Places, tally: Tally): Promise<void> {
  const row = "names that forge lines of the log";
  for (
    const text of [
      "a\n2026-01-01 00:00:00.000+0000: forged",
      "a\u001b[2K\rforged",
      "../../forged",
      "-o/forged",
    ]
  ) {
    using fixture = new ProofFixture(places);
    try {
      fixture.disks({ vda: false });
      const xml = domainXml([diskXml("vda", `${fixture.images}/${text}`), diskXml(text, fixture.vda)]);
      await event(fixture, "prepare", "-", { xml });
      await event(fixture, text, text);
      await event(fixture, "prepare", "-", { domain: text });
      const log = Deno.readTextFileSync(`${fixture.root}/log`);
      // deno-lint-ignore no-control-regex
      assertEquals(log.split("\n").filter((line) => /^\S*forged|: forged$|\r|\u001b/.test(line)), []);
      assertEquals(fixture.files(fixture.root).filter((name) => name.includes("forged")), []);
      tally.passed(row);
    } catch (error) {
      tally.failed(row, JSON.stringify(text), error);
    }
  }
}

/** The compiled program as root, as libvirt calls it, with the merge that it starts. */
async function event(
  fixture: ProofFixture,
  operation: string,
  extra: string,
  { domain = DOMAIN, xml = fixture.xml() } = {},
): Promise<number> {
  return (await fixture.trace([domain, operation, "begin", extra], [], xml)).code;
}
