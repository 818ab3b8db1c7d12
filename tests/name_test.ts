import { assertEquals } from "@std/assert";
import { find, realWorld, write } from "./real.ts";

const names = [
  "a b.img",
  ' "quoted".img',
  "it's.img",
  "a,b=c,,.img",
  "nbd:unix:x.img",
  "json:{}.img",
  "-o.img",
  "100%s%n.img",
  "虚拟机 𝄞.img",
  "back\\slash$HOME`id`.img",
  "#?&<>.img",
];

for (const name of names) {
  Deno.test(`an image named ${name} lives a whole life`, async () => {
    using world = realWorld(true);
    const image = `${world.images}/${name}`;
    Deno.renameSync(world.vda, image);
    world.sources.set("vda", image);
    await world.start();
    write(image, 1, 2);
    await world.stop();
    await world.start();
    write(image, 1, 9);
    await world.stop();
    assertEquals(world.files(), [name]);
    find(image, 1, 2);
  });
}
