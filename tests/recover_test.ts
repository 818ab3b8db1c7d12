/** `recover`: the next event's recovery now, and an end for a session that lies there. */

import { assertEquals } from "@std/assert";
import type { Host } from "../lib/host/host.ts";
import { namesOf } from "../lib/state/paths.ts";
import { snapshot } from "./tree.ts";
import { type Result, World } from "./world.ts";

const ran = ({ code, printed, said }: Result) => [code, printed, said];

function worldOf(flags: Record<string, boolean> = { vda: false }): World {
  const world = new World();
  world.disks(flags);
  world.define();
  return world;
}

/** As the original Python hook leaves it after a crash: an overlay, and no note. */
function foreign(): World {
  const world = worldOf();
  const { image, layer } = namesOf(world.image("vda"));
  Deno.renameSync(image, layer(0));
  world.save(image, layer(0), { session: "yes" });
  return world;
}

/** The process dies before its first step of this kind. */
const dyingAt = (kind: string) => (inner: Host["perform"]): Host["perform"] => {
  let dead = false;
  return async (step, control) => {
    dead ||= step.kind === kind;
    if (dead) throw new Error("killed");
    await inner(step, control);
  };
};

Deno.test("recover finishes a commit that was cut short", async () => {
  using world = worldOf({ vda: true });
  await world.start();
  world.write(world.image("vda"), "session");
  await world.event("release", "shutdown", { perform: dyingAt("clear") });
  assertEquals(world.state("vda").kind, "committing");
  const result = await world.type(["recover", "guest"]);
  assertEquals(ran(result), [0, ["guest vda: what was cut short is finished"], []]);
  assertEquals(world.disk("vda"), { base: "vda", session: "yes" });
  assertEquals([world.flags(), world.files()], [{ vda: false }, ["vda.img"]]);
});

Deno.test("recover tells that nothing was cut short, and of a session that lies there", async () => {
  using world = worldOf();
  assertEquals(ran(await world.type(["recover", "guest"])), [0, ["guest: nothing was cut short"], []]);
  await world.start();
  const before = snapshot(world.images);
  assertEquals(ran(await world.type(["recover", "guest"])), [0, [
    "guest: nothing was cut short",
    "guest vda: a session lies there; to end it now: autorevert recover --keep|--discard guest vda",
  ], []]);
  assertEquals(snapshot(world.images), before);
});

for (const [whose, world_] of [["the hook's own", worldOf], ["the Python hook's", foreign]] as const) {
  const withSession = async () => {
    const world = world_();
    if (whose === "the hook's own") {
      await world.start();
      world.write(world.image("vda"), "session");
    }
    return world;
  };

  Deno.test(`recover --keep makes ${whose} session part of the disk`, async () => {
    using world = await withSession();
    assertEquals(ran(await world.type(["recover", "guest", "--keep"])), [
      0,
      ["guest vda: the session is part of the disk now: the next start begins with it"],
      [],
    ]);
    assertEquals(world.disk("vda"), { base: "vda", session: "yes" });
    assertEquals([world.files(), world.asked], [["vda.img"], []]);
    await world.start();
    await world.stop();
    assertEquals(world.disk("vda"), { base: "vda", session: "yes" });
  });

  Deno.test(`recover --discard throws ${whose} session away, after asking`, async () => {
    using world = await withSession();
    const before = snapshot(world.images);
    const { code, said } = await world.type(["recover", "guest", "--discard"], false);
    assertEquals([code, said[0]], [
      1,
      "error: guest: nothing was changed: the question was not answered with yes",
    ]);
    assertEquals(world.asked.length, 1);
    assertEquals(snapshot(world.images), before);
    assertEquals(ran(await world.type(["recover", "guest", "vda", "--discard", "--yes"])), [
      0,
      ["guest vda: the session is thrown away: the next start begins without it"],
      [],
    ]);
    assertEquals([world.disk("vda"), world.files()], [{ base: "vda" }, ["vda.img"]]);
    await world.start();
  });
}

interface Refused {
  readonly if: string;
  readonly arrange: (world: World) => void;
  readonly error: string;
  readonly hint?: string;
}

const refusals: readonly Refused[] = [
  {
    if: "a process has it open",
    arrange: (world) => void world.busy.add(world.image("vda")),
    error: ' vda: "IMAGE" is open in another process',
    hint: "find it: fuser -v IMAGE",
  },
  {
    if: "the guest runs on it",
    arrange: (world) => world.run(),
    error: ' vda: the guest runs on "IMAGE"',
    hint: "end it first: virsh shutdown guest",
  },
  {
    if: "the guest was saved in it",
    arrange: (world) => Deno.writeTextFileSync(`${world.settings.saveFolder}/guest.save`, ""),
    error: ": libvirt holds a managed save of the guest, which expects its session",
  },
  {
    if: "another file is in its place",
    arrange: (world) => {
      Deno.removeSync(world.image("vda"));
      world.save(world.image("vda"), null, { other: "file" });
    },
    error:
      ' vda: "IMAGE" is no overlay on "IMAGE.backing_file": another file was put in the session\'s place',
  },
];

for (const { if: wrong, arrange, error, hint } of refusals) {
  for (const option of ["--keep", "--discard"]) {
    Deno.test(`recover ${option} is refused if ${wrong}`, async () => {
      using world = worldOf();
      await world.start();
      arrange(world);
      const before = snapshot(world.images);
      const { code, said } = await world.type(["recover", "guest", option, "--yes"]);
      const named = (text: string) => text.replaceAll("IMAGE", world.image("vda"));
      assertEquals([code, said[0]], [1, `error: guest${named(error)}`]);
      if (hint !== undefined) assertEquals(said[1], `hint: ${named(hint)}`);
      assertEquals(snapshot(world.images), before);
    });
  }
}

Deno.test("recover --keep is refused where there is no session", async () => {
  using world = worldOf();
  assertEquals(ran(await world.type(["recover", "guest", "--keep"])), [
    1,
    [],
    ["error: guest: no session lies there"],
  ]);
});

Deno.test("recover --keep that was cut short loses nothing: the next start refuses, or begins with the session", async () => {
  for (const [kind, code] of [["link", 1], ["clear", 0], ["rename", 0], ["note", 0]] as const) {
    using world = foreign();
    await world.type(["commit", "guest"]);
    await world.type(["recover", "guest", "--keep"], false, { perform: dyingAt(kind) });
    assertEquals((await world.event("prepare")).code, code, kind);
    const { image, layer } = namesOf(world.image("vda"));
    const kept = code === 1 ? world.read(image) : world.read(layer(1));
    assertEquals(kept, { base: "vda", session: "yes" }, kind);
  }
});
