/** `enable`, `disable` and `commit`: what they write, and what they say happens next. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { listDisk, setKey, unlistDisk } from "../lib/command/config_edit.ts";
import { live } from "./history.ts";
import { withoutPaths } from "./refused.ts";
import { snapshot } from "./tree.ts";
import { Fixture, LATER } from "./fixture.ts";
import { checkFails, checkPrints } from "./typed.ts";
import { diskXml } from "./xml.ts";

const textOf = (fixture: Fixture) => Deno.readTextFileSync(fixture.configFile);

/** A guest with two disks and no configuration. */
function unconfigured(): Fixture {
  const fixture = new Fixture().disks({ vda: false, vdb: false });
  Deno.removeSync(fixture.configFile);
  fixture.define();
  return fixture;
}

Deno.test("enable makes the file, and the next start begins clean", async () => {
  using fixture = unconfigured();
  await checkPrints(fixture, "enable guest vda", ["guest vda: every start begins clean from now on"]);
  assertEquals(
    textOf(fixture),
    `{\n  "disks": [\n    { "target": "vda", "one-shot-commit": false }\n  ]\n}\n`,
  );
  assertEquals(Deno.statSync(fixture.configFile).mode! & 0o777, 0o644);
  await checkPrints(fixture, "enable guest vda vdb", [
    "guest vda: is listed already",
    "guest vdb: every start begins clean from now on",
  ]);
  await fixture.start();
  assertEquals(fixture.state("vda").kind, "session");
  assertEquals(fixture.state("vdb").kind, "session");
});

Deno.test("enable sets what is kept of a new disk, of a listed one, and of all that are listed", async () => {
  using fixture = unconfigured();
  await checkPrints(fixture, "enable guest vda --keep-commits 2 --keep-session", [
    "guest vda: every start begins clean from now on; the 2 newest commits can be undone; " +
    "an ended session is set aside until the guest is up again",
  ]);
  assertEquals(
    textOf(fixture),
    `{\n  "disks": [\n    { "target": "vda", "one-shot-commit": false, "keep-commits": 2, "keep-session": true }\n  ]\n}\n`,
  );
  assertEquals((await fixture.type("enable guest vdb")).code, 0);
  await checkPrints(fixture, "enable guest --keep-commits 1 --no-keep-session", [
    "guest vda: the newest commit can be undone; an ended session is forgotten",
    "guest vdb: the newest commit can be undone; an ended session is forgotten",
  ]);
  const keys = () => JSON.parse(textOf(fixture)).disks.map((disk: object) => Object.values(disk));
  assertEquals(keys(), [["vda", false, 1, false], ["vdb", false, 1]]);
  await checkPrints(fixture, "enable guest vdb --keep-commits=0", ["guest vdb: no commit can be undone"]);
  assertEquals(keys(), [["vda", false, 1, false], ["vdb", false, 0]]);
});

Deno.test("enable tells that commits are merged that were kept until now, and writes nothing that stands there", async () => {
  using fixture = new Fixture();
  await live(fixture, { targets: ["vda"], layers: 3, keepCommits: 2, torn: false, aside: false });
  fixture.define();
  const { ino } = Deno.statSync(fixture.configFile);
  assertEquals((await fixture.type("enable guest vda --keep-commits 2")).printed, [
    "guest vda: the 2 newest commits can be undone",
  ]);
  assertEquals(Deno.statSync(fixture.configFile).ino, ino);
  assertEquals((await fixture.type("enable guest vda --keep-commits 1")).printed, [
    "guest vda: the newest commit can be undone; older ones are merged after the next session",
  ]);
  await fixture.start();
  await fixture.stop();
  assertEquals(fixture.state("vda"), { kind: "layered", layers: [1, 2], ended: false });
});

Deno.test("enable without a disk names those that it could list, and why it could not list the others", async () => {
  using fixture = unconfigured();
  fixture.sources.set("vdc", "/usr/share/os.img");
  fixture.define();
  const outside = '"vdc" can\'t be managed: image "/usr/share/os.img" is outside the permitted folders, ' +
    'which are "ROOT/images"';
  for (const option of ["", " --keep-session"]) {
    await checkFails(fixture, `enable guest${option}`, [
      `error: guest: which disks? There are vda ("IMAGE"), vdb ("ROOT/images/vdb.img"); ${outside}`,
      `hint: autorevert enable guest vda vdb${option}`,
    ], 2);
  }
  assertEquals(fixture.files(fixture.config).filter((name) => name.endsWith(".json")), []);
  fixture.configure({ vda: false });
  await checkFails(fixture, "enable guest", [
    `error: guest: which disks? There is vdb ("ROOT/images/vdb.img"); "vda" is listed already; ${outside}`,
    "hint: autorevert enable guest vdb",
  ], 2);
  fixture.configure({ vda: false, vdb: false });
  assertEquals(
    (await fixture.type("enable guest")).said[0]?.split("; ")[0],
    "error: guest: there is no other disk that could go back at every start",
  );
});

Deno.test("enable tells that a guest that runs is not reverted yet", async () => {
  using fixture = unconfigured();
  fixture.run();
  await checkPrints(fixture, "enable guest vda", [
    "guest vda: every start begins clean from the next one on; until then the guest writes to the disk itself: shut it down " +
    "for that, without saving it, since after a restore the disk would go back to where it was in the midst of a run",
  ]);
});

Deno.test("enable tells that a saved guest is not reverted yet, and its restore how what it does is kept", async () => {
  using fixture = unconfigured();
  Deno.writeTextFileSync(fixture.managedSave, "");
  const { printed } = await fixture.type("enable guest vda");
  assertStringIncludes(printed.join(), "shut it down for that, without saving it");
  await fixture.event("restore");
  const { log } = await fixture.event("prepare");
  assertStringIncludes(log.join(), "`autorevert commit` keeps what it does from now on");
});

Deno.test("enable takes a disk back that was taken out while its guest runs", async () => {
  using fixture = unconfigured();
  fixture.configure({ vda: false });
  await fixture.start();
  fixture.run();
  assertEquals((await fixture.type("disable guest vda")).code, 0);
  await checkPrints(fixture, "enable guest vda", ["guest vda: every start begins clean from now on"]);
});

Deno.test("enable takes a disk back that is being merged", async () => {
  using fixture = new Fixture();
  await live(fixture, { targets: ["vda"], layers: 2, keepCommits: 0, torn: true, aside: false });
  fixture.define();
  fixture.busy.add(`${fixture.vda}.backing_file`).add(`${fixture.vda}.backing_file.1`);
  Deno.removeSync(fixture.configFile);
  await checkPrints(fixture, "enable guest vda", ["guest vda: every start begins clean from now on"]);
});

interface Refused {
  readonly if: string;
  readonly line?: string;
  readonly arrange?: (fixture: Fixture) => void;
  readonly error: string;
  readonly hint: string;
}

const refusals: readonly Refused[] = [
  {
    if: "libvirt knows no such domain, but one like it",
    line: "enable gest vda",
    error: 'gest: libvirt knows no domain "gest"; it knows "guest"',
    hint: 'did you mean "guest"?',
  },
  {
    if: "libvirt knows nothing like it",
    line: "enable windows vda",
    error: 'windows: libvirt knows no domain "windows"; it knows "guest"',
    hint:
      'define it first: virsh define windows.xml; if the guest runs on another host, copy its configuration from there: "ROOT/config/windows.json"',
  },
  {
    if: "the guest has no such disk",
    line: "enable guest sda",
    error: 'guest: the guest has no disk "sda", it has "vda", "vdb"',
    hint: 'did you mean "vda"?',
  },
  {
    if: "the disk can't be managed",
    arrange: (fixture) => {
      const raw = diskXml("vda", fixture.vda, { format: "raw" });
      const xml = fixture.xml().replace(/<disk [^]*?<\/disk>/, raw);
      Deno.writeTextFileSync(`${fixture.settings.definedFolder}/guest.xml`, xml);
    },
    error: 'guest vda: its driver type is "raw", only "qcow2" can be managed',
    hint: "convert the image (qemu-img convert -O qcow2) and set <driver type='qcow2'/> with virsh edit",
  },
  {
    if: "there is no image",
    arrange: (fixture) => Deno.removeSync(fixture.vda),
    error: 'guest vda: there is no image "IMAGE"',
    hint: "mount its folder, restore it, or correct the domain with virsh edit",
  },
  {
    if: "the image is in use",
    arrange: (fixture) => void fixture.busy.add(fixture.vda),
    error: 'guest vda: "IMAGE" is open in another process',
    hint:
      'find it: fuser -v IMAGE; if that finds nothing, it is open on another host; if the guest runs on another host, copy its configuration from there: "ROOT/config/guest.json"',
  },
];

for (const { if: wrong, line = "enable guest vda", arrange, error, hint } of refusals) {
  Deno.test(`enable is refused if ${wrong}, and nothing has changed`, async () => {
    using fixture = unconfigured();
    arrange?.(fixture);
    const before = snapshot(fixture.images);
    await checkFails(fixture, line, [`error: ${error}`, `hint: ${hint}`]);
    assertEquals(fixture.files(fixture.config).filter((name) => name.endsWith(".json")), []);
    assertEquals(snapshot(fixture.images), before);
  });
}

Deno.test("enable is refused in a folder without hard links, or where one looks like another file", async () => {
  const links: readonly (readonly [link: (from: string, to: string) => void, error: string])[] = [
    [() => fail(), "Operation not permitted"],
    [Deno.copyFileSync, 'a hard link to "IMAGE" is not told as the same file'],
  ];
  for (const [link, error] of links) {
    using fixture = unconfigured();
    const { code, said } = await fixture.type("enable guest vda", false, {
      perform: (inner) => async (step, control) => {
        if (step.kind === "link") return link(step.from, step.to);
        await inner(step, control);
      },
    });
    assertEquals([code, withoutPaths(said[0]!, fixture)], [1, `error: guest vda: ${error}`]);
    assertEquals(fixture.files(), ["vda.img", "vdb.img"]);
  }
});

function fail(): never {
  throw new Error("Operation not permitted");
}

const next: readonly (readonly [
  when: string,
  arrange: (fixture: Fixture) => Promise<void>,
  keep: string,
  forget: string,
])[] = [
  [
    "is idle",
    async () => {},
    "the next session will be kept when it ends",
    "the next session will be forgotten when it ends",
  ],
  [
    "runs on a session",
    async (fixture) => {
      await fixture.start();
      fixture.run();
    },
    "this session will be kept when it ends",
    "this session will be forgotten when it ends",
  ],
  [
    "died in a session",
    async (fixture) => {
      await fixture.start();
      fixture.configure({ vda: false }, LATER);
    },
    "the next session will be kept when it ends; the one that died is set aside at the next start; to keep it instead: autorevert recover --keep guest vda, then autorevert commit --cancel guest vda",
    "the session that died will be forgotten at the next start",
  ],
  [
    "was saved in a session",
    async (fixture) => {
      await fixture.start();
      await fixture.stop("saved");
      Deno.writeTextFileSync(fixture.managedSave, "");
    },
    "the session of the saved guest will be kept when it ends",
    "the session of the saved guest will be forgotten when it ends",
  ],
];

for (const [when, arrange, keep, forget] of next) {
  Deno.test(`commit sets the flag of a guest that ${when}, --cancel clears it, and both say what happens next`, async () => {
    using fixture = new Fixture().disks({ vda: false }).define();
    await arrange(fixture);
    for (let time = 0; time < 2; time++) {
      await checkPrints(fixture, "commit guest", [`guest vda: ${keep}`]);
      assertEquals(fixture.flags(), { vda: true });
    }
    await checkPrints(fixture, "commit guest vda --cancel", [`guest vda: ${forget}`]);
    assertEquals(fixture.flags(), { vda: false });
  });
}

Deno.test("commit keeps the session that runs", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
  await fixture.start();
  for (const target of ["vda", "vdb"]) fixture.write(fixture.image(target), "session");
  fixture.run();
  assertEquals((await fixture.type("commit guest vda")).code, 0);
  fixture.halt();
  await fixture.stop();
  assertEquals(fixture.disk("vda"), { base: "vda", session: "yes" });
  assertEquals(fixture.disk("vdb"), { base: "vdb" });
  assertEquals(fixture.flags(), { vda: false, vdb: false });
});

Deno.test("disable takes disks out, with the last of them the file, and the guest ends as it is told", async () => {
  using fixture = new Fixture().disks({ vda: false, vdb: false }).define();
  await checkPrints(fixture, "disable guest vdb", ["guest vdb: is left alone from now on"]);
  assertEquals(fixture.flags(), { vda: false });
  await fixture.start();
  fixture.run();
  await checkPrints(fixture, "disable guest", [
    "guest vda: this session is still thrown away when it ends; then the disk is left alone",
  ]);
  fixture.halt();
  fixture.write(fixture.vda, "session");
  await fixture.stop();
  await fixture.start();
  assertEquals(fixture.files(), ["vda.img", "vdb.img"]);
  assertEquals(fixture.disk("vda"), { base: "vda" });
});

Deno.test("disable tells what becomes of commits and of a session set aside", async () => {
  using fixture = new Fixture();
  await live(fixture, { targets: ["vda"], layers: 2, keepCommits: 3, torn: false, aside: true });
  fixture.define();
  const { code, printed, merge } = await fixture.type("disable guest");
  assertEquals([code, printed, merge?.code], [
    0,
    [
      "guest vda: is left alone from now on; the session that was set aside goes at its next start; " +
      "its commits are merged in the background",
    ],
    0,
  ]);
  assertEquals(fixture.files().includes("vda.img.backing_file"), false);
  await fixture.start();
  await fixture.stop();
  assertEquals(fixture.files(), ["vda.img"]);
});

Deno.test("disable is refused while a session is to be committed", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  fixture.run();
  const before = textOf(fixture);
  await checkFails(fixture, "disable guest", [
    "error: guest vda: its session is to be committed, and would be lost",
    "hint: let it end first, or give it up: autorevert commit --cancel guest vda",
  ]);
  assertEquals(textOf(fixture), before);
});

Deno.test("an edit leaves owner, mode, other keys and the author's writing as they are", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  const text = `{\n\t"$schema": "x",\n\t"disks" : [ {"keep-commits": 3, "target":"vda"} ]}\n\n`;
  fixture.configureText(text);
  Deno.chmodSync(fixture.configFile, 0o600);
  assertEquals((await fixture.type("commit guest")).code, 0);
  assertEquals(textOf(fixture), text.replace('"vda"', '"vda", "one-shot-commit": true'));
  assertEquals(Deno.statSync(fixture.configFile).mode! & 0o777, 0o600);
  assertEquals((await fixture.type("commit guest --cancel")).code, 0);
  assertEquals(textOf(fixture), text.replace('"vda"', '"vda", "one-shot-commit": false'));
});

Deno.test("a configuration that isn't valid is not edited", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  fixture.configureText('{"disks": [{"target": "vda", "one-shot-commit": "no"}]}');
  const before = textOf(fixture);
  for (const words of [["commit", "guest"], ["disable", "guest"], ["enable", "guest", "vda"]]) {
    const { code, said } = await fixture.type(words);
    assertEquals([code, said[0]], [
      1,
      `error: guest: "${fixture.configFile}" at disks[0].one-shot-commit: is "no", should be true or false`,
    ]);
  }
  assertEquals(textOf(fixture), before);
});

Deno.test("edits of the text alone", () => {
  const text = listDisk(undefined, "vda");
  assertEquals(JSON.parse(listDisk(text, "vdb")).disks.map(({ target }: { target: string }) => target), [
    "vda",
    "vdb",
  ]);
  assertEquals(setKey(setKey(text, "vda", "one-shot-commit", true), "vda", "one-shot-commit", false), text);
  assertEquals(JSON.parse(unlistDisk(listDisk(text, "vdb"), "vda")), {
    disks: [{ target: "vdb", "one-shot-commit": false }],
  });
  assertEquals(
    listDisk('{"disks": [{"target": "vda"}]}', "vdb"),
    '{"disks": [{"target": "vda"}, { "target": "vdb", "one-shot-commit": false }]}',
  );
  const windows = text.replaceAll("\n", "\r\n");
  assertEquals(/[^\r]\n/.test(listDisk(windows, "vdb")), false);
});

Deno.test("commit sets the flag of a guest that libvirt doesn't know at the moment, and says so", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const { code, printed } = await fixture.type("commit guest");
  assertEquals([code, fixture.flags()], [0, { vda: true }]);
  assertEquals(printed, [
    "guest vda: the flag is set; but something is wrong, and nobody can tell for which session: autorevert check guest",
  ]);
  assertEquals((await fixture.type("commit guest --cancel")).code, 0);
  assertEquals(fixture.flags(), { vda: false });
});

Deno.test("commit keeps the session of a guest that is being started", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.good("prepare");
  await checkPrints(fixture, "commit guest", ["guest vda: this session will be kept when it ends"]);
  await fixture.good("start");
  fixture.run();
  await fixture.good("started");
  fixture.write(fixture.vda, "session");
  fixture.halt();
  await fixture.stop();
  assertEquals([fixture.disk("vda"), fixture.flags()], [{ base: "vda", session: "yes" }, { vda: false }]);
});

Deno.test("a session whose flag an editor has cleared is thrown away after disable, as it says", async () => {
  for (const isRunning of [true, false]) {
    using fixture = new Fixture().disks({ vda: true }).define();
    await fixture.start();
    fixture.write(fixture.vda, "session");
    fixture.configure({ vda: false });
    if (isRunning) fixture.run();
    else fixture.booted = LATER;
    const { printed } = await fixture.type("disable guest");
    assertEquals(printed.join().includes("thrown away"), true);
    if (isRunning) {
      fixture.halt();
      await fixture.stop();
    }
    await fixture.start();
    assertEquals(fixture.disk("vda"), { base: "vda" });
  }
});

Deno.test("enable makes the folder of the configurations", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  Deno.removeSync(fixture.config, { recursive: true });
  const { code, said } = await fixture.type("enable guest vda");
  assertEquals([code, said, JSON.parse(Deno.readTextFileSync(fixture.configFile))], [0, [], {
    disks: [{ target: "vda", "one-shot-commit": false }],
  }]);
});

Deno.test("the folder of the configurations may be a link to one that only root can write to", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  const folder = `${fixture.root}/shared`;
  Deno.renameSync(fixture.config, folder);
  Deno.symlinkSync(folder, fixture.config);
  await fixture.start();
  await fixture.stop();
  Deno.chmodSync(folder, 0o777);
  const { said } = await fixture.event("prepare");
  assertStringIncludes(said[0]!, "can be written by others than root (mode 777)");
});

Deno.test("enable sets no flag for a disk in whose place another image had a session that is to be kept", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  fixture.boot();
  const other = `${fixture.images}/other.img`;
  fixture.save(other, null, { other: "disk" });
  Deno.removeSync(fixture.configFile);
  fixture.sources.set("vda", other);
  fixture.define();
  const { printed } = await fixture.type("enable guest vda");
  assertEquals(printed, ["guest vda: every start begins clean from now on"]);
  assertEquals(fixture.flags(), { vda: false });
});
