import { assertEquals } from "@std/assert";
import { find, realFixture, write } from "./real_fixture.ts";

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
    using fixture = realFixture(true);
    const image = `${fixture.images}/${name}`;
    Deno.renameSync(fixture.vda, image);
    fixture.sources.set("vda", image);
    await fixture.start();
    write(image, 1, 2);
    await fixture.stop();
    await fixture.start();
    write(image, 1, 9);
    await fixture.stop();
    assertEquals(fixture.files(), [name]);
    find(image, 1, 2);
  });
}
