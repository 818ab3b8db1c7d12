import { assert, assertEquals } from "@std/assert";
import { DOMAIN, World } from "./world.ts";

/** Types a part of the hint as it stands. */
function type(hint: string, after: string): void {
  const command = hint.slice(hint.indexOf(after) + after.length).split("; ")[0]!;
  const { success, stderr } = new Deno.Command("sh", { args: ["-c", command] }).outputSync();
  assert(success, `${command}: ${new TextDecoder().decode(stderr)}`);
}

/** Somebody's own overlay over so many layers, at a start that is refused; its hint. */
async function refusedOver(
  world: World,
  layers: number,
  own: (world: World, top: string) => void,
): Promise<string> {
  world.disks({ vda: false });
  const image = world.image("vda");
  let top = `${image}.backing_file`;
  Deno.renameSync(image, top);
  for (let number = 1; number < layers; number++) {
    world.save(`${image}.backing_file.${number}`, top, { [`layer ${number}`]: "yes" });
    top = `${image}.backing_file.${number}`;
  }
  own(world, top);
  const { code, said } = await world.event("prepare");
  assertEquals(code, 1);
  await world.good("release", "failed");
  return said[1]!;
}

/** The guest starts, finds this, and leaves one file. */
async function checkLife(world: World, content: Record<string, string>): Promise<void> {
  await world.start();
  assertEquals(world.read(world.image("vda")), content);
  world.write(world.image("vda"), "junk");
  await world.stop();
  await world.start();
  await world.stop();
  assertEquals(world.disk("vda"), content);
  assertEquals(world.files().filter((name) => name !== "vda.img.old"), ["vda.img"]);
}

const overlay = (world: World, top: string) => world.save(world.image("vda"), top, { own: "yes" });
const stranger = (world: World) => world.save(world.image("vda"), null, { own: "yes" });

for (const layers of [1, 2, 3]) {
  const below = {
    base: "vda",
    ...Object.fromEntries(Array.from({ length: layers - 1 }, (_, n) => [`layer ${n + 1}`, "yes"])),
  };

  Deno.test(`the hint's command throws an own overlay over ${layers} away`, async () => {
    using world = new World();
    type(await refusedOver(world, layers, overlay), "away: ");
    await checkLife(world, below);
  });

  Deno.test(`the hint's command keeps an own overlay over ${layers}`, async () => {
    using world = new World();
    type(await refusedOver(world, layers, overlay), "part of the disk: ");
    await checkLife(world, { ...below, own: "yes" });
  });

  Deno.test(`the hint's command throws a stranger in place of a session over ${layers} away`, async () => {
    using world = new World();
    type(await refusedOver(world, layers, stranger), "away: ");
    await checkLife(world, below);
  });

  Deno.test(`the hint's command makes a stranger in place of a session over ${layers} the disk`, async () => {
    using world = new World();
    type(await refusedOver(world, layers, stranger), "move the layers away: ");
    await checkLife(world, { own: "yes" });
    assertEquals(world.files(`${world.image("vda")}.old`).length, layers);
  });
}

for (const layers of [1, 2, 3]) {
  Deno.test(`the hint's command mends a disk of ${layers} whose files were copied without their links`, async () => {
    using world = new World();
    world.disks({ vda: false });
    const image = world.image("vda");
    world.keys = { "keep-commits": layers };
    for (let number = 1; number < layers; number++) {
      world.configure({ vda: true });
      await world.start();
      world.write(image, `layer ${number}`);
      await world.stop();
    }
    world.keys = {};
    world.configure({ vda: false });
    await world.start();
    await world.good("release", "-", { mergeDies: true });
    const disk = world.disk("vda");
    Deno.copyFileSync(image, `${image}.copy`);
    Deno.renameSync(`${image}.copy`, image);

    const { code, said } = await world.event("prepare");
    assertEquals(code, 1);
    await world.good("release", "failed");
    type(said[1]!, "away: ");
    await checkLife(world, disk);
  });
}

for (const [layers, into] of [[1, 0], [2, 1], [2, 0], [3, 1]] as const) {
  Deno.test(`the hint's command mends a disk of ${layers} after a blockcommit into layer ${into}`, async () => {
    using world = new World();
    world.disks({ vda: false });
    const image = world.image("vda");
    world.keys = { "keep-commits": layers };
    for (let number = 1; number < layers; number++) {
      world.configure({ vda: true });
      await world.start();
      world.write(image, `layer ${number}`);
      await world.stop();
    }
    world.configure({ vda: false });
    await world.start();
    world.write(image, "committed");
    const content = world.read(image);
    // The guest runs on that layer now, and it has all that was above.
    const layer = `${image}.backing_file${into === 0 ? "" : `.${into}`}`;
    for (const key of Object.keys(content)) world.write(layer, key, content[key]);
    world.sources.set("vda", layer);
    await world.stop();
    const { said } = await world.event("prepare");
    await world.good("release", "failed");
    type(said[1]!.replace(/, then name .*/, ""), "shut off, ");
    world.sources.set("vda", image);
    world.keys = {};
    world.configure({ vda: false });
    await checkLife(world, content);
  });
}

Deno.test("the hint's command for a broken note is safe where no disk has layers", async () => {
  using world = new World();
  world.disks({ vda: false });
  Deno.writeTextFileSync(`${world.config}/${DOMAIN}.session`, "[");
  const { code, said } = await world.event("prepare");
  assertEquals(code, 1);
  type(said[1]!, "beside it: ");
  await checkLife(world, { base: "vda" });
});
