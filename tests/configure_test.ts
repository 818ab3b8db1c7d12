/** `enable`, `disable` and `commit`: what they write, and what they say happens next. */

import { assertEquals } from "@std/assert";
import { listDisk, setFlag, unlistDisk } from "../lib/command/config_edit.ts";
import { live } from "./history.ts";
import { snapshot } from "./tree.ts";
import { LATER, type Result, World } from "./world.ts";
import { diskXml } from "./xml.ts";

const ran = ({ code, printed, said }: Result) => [code, printed, said];
const textOf = (world: World) => Deno.readTextFileSync(world.configFile);

/** A guest with two disks and no configuration. */
function unconfigured(): World {
  const world = new World();
  world.disks({ vda: false, vdb: false });
  Deno.removeSync(world.configFile);
  world.define();
  return world;
}

Deno.test("enable makes the file, and the next start begins clean", async () => {
  using world = unconfigured();
  assertEquals(ran(await world.type(["enable", "guest", "vda"])), [
    0,
    ["guest vda: every start begins clean from now on"],
    [],
  ]);
  assertEquals(textOf(world), `{\n  "disks": [\n    { "target": "vda", "one-shot-commit": false }\n  ]\n}\n`);
  assertEquals(Deno.statSync(world.configFile).mode! & 0o777, 0o644);
  assertEquals(ran(await world.type(["enable", "guest", "vda", "vdb"])), [
    0,
    ["guest vda: is listed already", "guest vdb: every start begins clean from now on"],
    [],
  ]);
  await world.start();
  assertEquals(world.state("vda").kind, "session");
  assertEquals(world.state("vdb").kind, "session");
});

Deno.test("enable tells that a guest that runs is not reverted yet", async () => {
  using world = unconfigured();
  world.run();
  assertEquals(ran(await world.type(["enable", "guest", "vda"])), [
    0,
    ["guest vda: every start begins clean from the next one on; until then the guest writes to the disk itself"],
    [],
  ]);
});

Deno.test("enable takes a disk back that was taken out while its guest runs", async () => {
  using world = unconfigured();
  world.configure({ vda: false });
  await world.start();
  world.run();
  assertEquals((await world.type(["disable", "guest", "vda"])).code, 0);
  assertEquals(ran(await world.type(["enable", "guest", "vda"])), [
    0,
    ["guest vda: every start begins clean from now on"],
    [],
  ]);
});

Deno.test("enable takes a disk back that is being merged", async () => {
  using world = new World();
  await live(world, { targets: ["vda"], layers: 2, keepCommits: 0, torn: true, aside: false });
  world.define();
  world.busy.add(`${world.image("vda")}.backing_file.1`);
  Deno.removeSync(world.configFile);
  assertEquals(ran(await world.type(["enable", "guest", "vda"])), [
    0,
    ["guest vda: every start begins clean from now on"],
    [],
  ]);
});

interface Refused {
  readonly if: string;
  readonly words: string[];
  readonly arrange?: (world: World) => void;
  readonly error: string;
  readonly hint?: string;
}

const refusals: readonly Refused[] = [
  {
    if: "libvirt knows no such domain, but one like it",
    words: ["gest", "vda"],
    error: 'gest: libvirt knows no domain "gest"; it knows "guest"',
    hint: 'did you mean "guest"?',
  },
  {
    if: "libvirt knows nothing like it",
    words: ["windows", "vda"],
    error: 'windows: libvirt knows no domain "windows"; it knows "guest"',
    hint: "define it first: virsh define windows.xml",
  },
  {
    if: "the guest has no such disk",
    words: ["guest", "sda"],
    error: 'guest: the guest has no disk "sda", it has "vda", "vdb"',
    hint: 'did you mean "vda"?',
  },
  {
    if: "the disk can't be frozen",
    words: ["guest", "vda"],
    arrange: (world) =>
      Deno.writeTextFileSync(
        `${world.settings.definedFolder}/guest.xml`,
        world.xml().replace(/<disk [^]*?<\/disk>/, diskXml("vda", world.image("vda"), { format: "raw" })),
      ),
    error: 'guest vda: its driver type is "raw", only "qcow2" can be frozen',
    hint: "convert the image (qemu-img convert -O qcow2) and set <driver type='qcow2'/> with virsh edit",
  },
  {
    if: "there is no image",
    words: ["guest", "vda"],
    arrange: (world) => Deno.removeSync(world.image("vda")),
    error: 'guest vda: there is no image "IMAGE"',
    hint: "restore it, or correct the domain with virsh edit",
  },
  {
    if: "the image is in use",
    words: ["guest", "vda"],
    arrange: (world) => void world.busy.add(world.image("vda")),
    error: 'guest vda: "IMAGE" is open in another process',
    hint: "find it: fuser -v IMAGE",
  },
];

for (const { if: wrong, words, arrange, error, hint } of refusals) {
  Deno.test(`enable is refused if ${wrong}, and nothing has changed`, async () => {
    using world = unconfigured();
    arrange?.(world);
    const before = snapshot(world.images);
    const named = (text: string) => text.replaceAll("IMAGE", world.image("vda"));
    assertEquals(ran(await world.type(["enable", ...words])), [
      1,
      [],
      [`error: ${named(error)}`, ...hint ? [`hint: ${named(hint)}`] : []],
    ]);
    assertEquals(world.files(world.config).filter((name) => name.endsWith(".json")), []);
    assertEquals(snapshot(world.images), before);
  });
}

Deno.test("enable is refused in a folder without hard links", async () => {
  using world = unconfigured();
  const perform: Parameters<World["type"]>[2] = {
    perform: (inner) => async (step, control) => {
      if (step.kind === "link") throw new Error("Operation not permitted");
      await inner(step, control);
    },
  };
  const { code, said } = await world.type(["enable", "guest", "vda"], false, perform);
  assertEquals([code, said], [1, ["error: guest vda: Operation not permitted"]]);
  assertEquals(world.files(), ["vda.img", "vdb.img"]);
});

const next: readonly (readonly [
  when: string,
  arrange: (world: World) => Promise<void>,
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
    async (world) => {
      await world.start();
      world.run();
    },
    "this session will be kept when it ends",
    "this session will be forgotten when it ends",
  ],
  [
    "died in a session",
    async (world) => {
      await world.start();
      world.configure({ vda: false }, LATER);
    },
    "the next session will be kept when it ends; the one that died is set aside at the next start; to keep it instead: autorevert recover --keep guest vda",
    "the session that died will be forgotten at the next start",
  ],
  [
    "was saved in a session",
    async (world) => {
      await world.start();
      await world.stop("saved");
      Deno.writeTextFileSync(`${world.settings.saveFolder}/guest.save`, "");
    },
    "the session of the saved guest will be kept when it ends",
    "the session of the saved guest will be forgotten when it ends",
  ],
];

for (const [when, arrange, keep, forget] of next) {
  Deno.test(`commit sets the flag of a guest that ${when}, --cancel clears it, and both say what happens next`, async () => {
    using world = new World();
    world.disks({ vda: false });
    world.define();
    await arrange(world);
    for (let time = 0; time < 2; time++) {
      assertEquals(ran(await world.type(["commit", "guest"])), [0, [`guest vda: ${keep}`], []]);
      assertEquals(world.flags(), { vda: true });
    }
    assertEquals(ran(await world.type(["commit", "guest", "vda", "--cancel"])), [
      0,
      [`guest vda: ${forget}`],
      [],
    ]);
    assertEquals(world.flags(), { vda: false });
  });
}

Deno.test("commit keeps the session that runs", async () => {
  using world = new World();
  world.disks({ vda: false, vdb: false });
  world.define();
  await world.start();
  for (const target of ["vda", "vdb"]) world.write(world.image(target), "session");
  world.run();
  assertEquals((await world.type(["commit", "guest", "vda"])).code, 0);
  world.halt();
  await world.stop();
  assertEquals(world.disk("vda"), { base: "vda", session: "yes" });
  assertEquals(world.disk("vdb"), { base: "vdb" });
  assertEquals(world.flags(), { vda: false, vdb: false });
});

Deno.test("disable takes disks out, with the last of them the file, and the guest ends as it is told", async () => {
  using world = new World();
  world.disks({ vda: false, vdb: false });
  world.define();
  assertEquals(ran(await world.type(["disable", "guest", "vdb"])), [
    0,
    ["guest vdb: is left alone from now on"],
    [],
  ]);
  assertEquals(world.flags(), { vda: false });
  await world.start();
  world.run();
  assertEquals(ran(await world.type(["disable", "guest"])), [
    0,
    ["guest vda: this session is still thrown away when it ends; then the disk is left alone"],
    [],
  ]);
  world.halt();
  world.write(world.image("vda"), "session");
  await world.stop();
  await world.start();
  assertEquals(world.files(), ["vda.img", "vdb.img"]);
  assertEquals(world.disk("vda"), { base: "vda" });
});

Deno.test("disable tells what becomes of commits and of a session set aside", async () => {
  using world = new World();
  await live(world, { targets: ["vda"], layers: 2, keepCommits: 3, torn: false, aside: true });
  world.define();
  const { code, printed, merge } = await world.type(["disable", "guest"]);
  assertEquals([code, printed, merge?.code], [
    0,
    [
      "guest vda: is left alone from now on; the session that was set aside goes at its next start; " +
      "its commits are merged in the background",
    ],
    0,
  ]);
  assertEquals(world.files().includes("vda.img.backing_file"), false);
  await world.start();
  await world.stop();
  assertEquals(world.files(), ["vda.img"]);
});

Deno.test("disable is refused while a session is to be committed", async () => {
  using world = new World();
  world.disks({ vda: true });
  world.define();
  await world.start();
  world.run();
  const before = textOf(world);
  assertEquals(ran(await world.type(["disable", "guest"])), [1, [], [
    "error: guest vda: its session is to be committed, and would be lost",
    "hint: let it end first, or give it up: autorevert commit --cancel guest vda",
  ]]);
  assertEquals(textOf(world), before);
});

Deno.test("an edit leaves owner, mode, other keys and the author's writing as they are", async () => {
  using world = new World();
  world.disks({ vda: false });
  world.define();
  const text = `{\n\t"$schema": "x",\n\t"disks" : [ {"keep-commits": 3, "target":"vda"} ]}\n\n`;
  world.configureText(text);
  Deno.chmodSync(world.configFile, 0o600);
  assertEquals((await world.type(["commit", "guest"])).code, 0);
  assertEquals(textOf(world), text.replace('"vda"', '"vda", "one-shot-commit": true'));
  assertEquals(Deno.statSync(world.configFile).mode! & 0o777, 0o600);
  assertEquals(ran(await world.type(["commit", "guest", "--cancel"]))[0], 0);
  assertEquals(textOf(world), text.replace('"vda"', '"vda", "one-shot-commit": false'));
});

Deno.test("a configuration that isn't valid is not edited", async () => {
  using world = new World();
  world.disks({ vda: false });
  world.define();
  world.configureText('{"disks": [{"target": "vda", "one-shot-commit": "no"}]}');
  const before = textOf(world);
  for (const words of [["commit", "guest"], ["disable", "guest"], ["enable", "guest", "vda"]]) {
    const { code, said } = await world.type(words);
    assertEquals([code, said[0]], [
      1,
      `error: guest: "${world.configFile}" at disks[0].one-shot-commit: is "no", should be true or false`,
    ]);
  }
  assertEquals(textOf(world), before);
});

Deno.test("edits of the text alone", () => {
  const text = listDisk(undefined, "vda");
  assertEquals(JSON.parse(listDisk(text, "vdb")).disks.map(({ target }: { target: string }) => target), [
    "vda",
    "vdb",
  ]);
  assertEquals(setFlag(setFlag(text, "vda", true), "vda", false), text);
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
