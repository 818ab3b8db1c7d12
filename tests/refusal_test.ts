import { assertEquals, assertStringIncludes } from "@std/assert";
import { link } from "../lib/host/files.ts";
import type { Host } from "../lib/host/host.ts";
import { type Refused, testRefused } from "./refused.ts";
import { Fixture } from "./fixture.ts";

const noLinks = (inner: Host["perform"]): Host["perform"] => (step) =>
  // Another file system stands for one without hard links: the system refuses both.
  step.kind === "link" ? Promise.resolve(link(step.from, "/proc/none")) : inner(step);

const layer = (fixture: Fixture, number = 0) =>
  `${fixture.vda}.backing_file${number === 0 ? "" : `.${number}`}`;

const broughtBack = (file: string) =>
  `restore it from where it was moved or copied; what stands on what: qemu-img info -U --backing-chain ${file}`;

/** Somebody's own overlay in the image's place. */
function ownOverlay(fixture: Fixture, ...layers: number[]): void {
  const image = fixture.vda;
  Deno.renameSync(image, layer(fixture, layers[0]));
  layers.slice(1).forEach((number, index) =>
    fixture.save(layer(fixture, number), layer(fixture, layers[index]), {})
  );
  fixture.save(image, layer(fixture, layers.at(-1)!), { own: "yes" });
}

/** The domain's disk has a name of so many bytes, half as many letters. */
function named(fixture: Fixture, bytes: number): void {
  const path = `${fixture.images}/${"ü".repeat(Math.floor(bytes / 2))}${bytes % 2 === 0 ? "" : "u"}`;
  Deno.renameSync(fixture.vda, path);
  fixture.sources.set("vda", path);
}

/** The domain's disk is `os.img` beside the image folder. */
function outside(by: string, path: (fixture: Fixture) => string): Refused {
  return {
    if: `the image is outside the permitted folders${by}`,
    arrange: (fixture) => fixture.sources.set("vda", path(fixture)),
    error: 'vda: image "ROOT/os.img" is outside the permitted folders, which are "ROOT/images"',
    hint:
      "build the hook for it: make install IMAGE_DIRS='ROOT/images,ROOT', or for a package make deb (or make rpm) with the same, and install that",
  };
}

testRefused([
  {
    if: "the domain has no such target, but a similar one",
    arrange: (fixture) => fixture.configure({ vdaa: false }),
    error: 'vdaa: the domain has no disk "vdaa", it has "vda"',
    hint: "correct the target in the configuration; if the disk was detached: autorevert disable guest vdaa",
  },
  {
    if: "the domain has no such target, nor any like it",
    arrange: (fixture) => {
      fixture.configure({ nvme0n1: false });
      fixture.sources.set("vdb", "/elsewhere.img");
    },
    error: 'nvme0n1: the domain has no disk "nvme0n1", it has "vda", "vdb"',
    hint:
      "correct the target in the configuration; if the disk was detached: autorevert disable guest nvme0n1",
  },
  {
    if: "the domain has no disks",
    arrange: (fixture) => fixture.sources.clear(),
    error: 'vda: the domain has no disk "vda", it has none',
    hint: "correct the target in the configuration; if the disk was detached: autorevert disable guest vda",
  },
  {
    if: "the image is a session whose layers are gone",
    arrange: (fixture, image) => fixture.save(image, layer(fixture), {}),
    error: 'vda: "IMAGE.backing_file" is missing, which "IMAGE" stands on',
    hint: broughtBack("IMAGE"),
  },
  ...["here", "elsewhere"].map((where): Refused => ({
    if: `a commit in between is missing, and the layers name files ${where}`,
    arrange: (fixture, image) => {
      ownOverlay(fixture, 0, 1, 2);
      const folder = where === "here" ? fixture.images : "/old";
      fixture.save(layer(fixture, 2), `${folder}/vda.img.backing_file.1`, {});
      Deno.removeSync(image);
      Deno.linkSync(layer(fixture, 2), image);
      Deno.removeSync(layer(fixture, 1));
    },
    error: 'vda: "IMAGE.backing_file.1" is missing, which "IMAGE.backing_file.2" stands on',
    hint: broughtBack("IMAGE.backing_file.2"),
  })),
  {
    if: "the image is somebody's own file, and the disk's golden image is missing",
    arrange: (fixture, image) => {
      ownOverlay(fixture, 1);
      fixture.save(layer(fixture, 1), "/golden/base.img.backing_file", {});
      fixture.save(image, null, { own: "yes" });
    },
    error: /^vda: "IMAGE" is no overlay on .*, and "\/golden\/base.img.backing_file" is missing/,
    hint: "see what they are: qemu-img info IMAGE; qemu-img info --backing-chain IMAGE.backing_file.1; " +
      "if IMAGE is the missing file: mv -n IMAGE /golden/base.img.backing_file && ln IMAGE.backing_file.1 IMAGE",
  },
  {
    if: "the newest commit is missing below a session",
    arrange: (fixture) => {
      ownOverlay(fixture, 0, 1, 2);
      Deno.removeSync(layer(fixture, 2));
    },
    error: 'vda: "IMAGE.backing_file.2" is missing, which "IMAGE" stands on',
    hint: broughtBack("IMAGE"),
  },
  {
    if: "somebody's own file is in a session's place, which may be the layer that is missing",
    arrange: (fixture, image) => {
      ownOverlay(fixture, 0, 1);
      Deno.renameSync(layer(fixture), image);
    },
    error: 'vda: "IMAGE" is no overlay on "IMAGE.backing_file.1", and "IMAGE.backing_file" is missing, ' +
      'which "IMAGE.backing_file.1" stands on: "IMAGE" may be that file',
    hint: "see what they are: qemu-img info IMAGE; qemu-img info --backing-chain IMAGE.backing_file.1; " +
      "if IMAGE is the missing file: mv -n IMAGE IMAGE.backing_file && ln IMAGE.backing_file.1 IMAGE",
  },
  outside("", (fixture) => `${fixture.root}/os.img`),
  outside(" by a link", (fixture) => {
    Deno.writeTextFileSync(`${fixture.root}/os.img`, "");
    Deno.symlinkSync(`${fixture.root}/os.img`, `${fixture.images}/link.img`);
    return `${fixture.images}/link.img`;
  }),
  outside(" by dots", (fixture) => `${fixture.images}/../os.img`),
  {
    if: "the image is missing",
    arrange: (_, image) => Deno.removeSync(image),
    error: 'vda: there is no image "IMAGE"',
    hint: "mount its folder, restore it, or correct the domain with virsh edit",
  },
  {
    if: "a session is open in another process",
    arrange: (fixture, image) => {
      ownOverlay(fixture, 0);
      fixture.busy.add(image);
    },
    error: 'vda: "IMAGE" is open in another process',
    hint: "find it: fuser -v IMAGE; if that finds nothing, it is open on another host",
  },
  {
    if: "the image folder has no hard links",
    how: () => ({ perform: noLinks }),
    error: /^vda: cannot link "IMAGE": .+/,
    hint: "image folders must be on a file system with hard links (ext4, xfs, btrfs, NFS, …)",
  },
  {
    if: "there is no space for the overlay",
    arrange: (fixture, image) => fixture.full.add(`${image}.autorevert-new`),
    error: "vda: qemu-img create failed with exit code 1: No space left on device",
    hint: "make room for it: df -h ROOT/images",
  },
  {
    if: "the image is somebody's own overlay",
    arrange: (fixture) => ownOverlay(fixture, 0),
    error:
      'vda: "IMAGE" stands on "IMAGE.backing_file", but no session of this guest was begun by this hook, unless on another host',
    hint: "to throw IMAGE away: mv IMAGE.backing_file IMAGE; " +
      "to keep it as part of the disk: mv IMAGE IMAGE.backing_file.1 && ln IMAGE.backing_file.1 IMAGE",
  },
  {
    if: "the image is somebody's own overlay on several layers",
    arrange: (fixture) => ownOverlay(fixture, 2, 7),
    error:
      'vda: "IMAGE" stands on "IMAGE.backing_file.7", but no session of this guest was begun by this hook, unless on another host',
    hint: "to throw IMAGE away: ln -f IMAGE.backing_file.7 IMAGE; " +
      "to keep it as part of the disk: mv IMAGE IMAGE.backing_file.8 && ln IMAGE.backing_file.8 IMAGE",
  },
  {
    if: "somebody's own file is in a session's place",
    arrange: (fixture, image) => {
      ownOverlay(fixture, 0);
      fixture.save(image, null, { own: "yes" });
    },
    error: 'vda: "IMAGE" is no overlay on "IMAGE.backing_file": another file was put in the session\'s place',
    hint: "to throw IMAGE away: mv IMAGE.backing_file IMAGE; " +
      "to make it the disk, move the layers away: mkdir IMAGE.old && mv IMAGE.backing_file IMAGE.old",
  },
  {
    if: "there is a decided commit without its layers",
    arrange: (_, image) => Deno.renameSync(image, `${image}.autorevert-committing`),
    error: 'vda: there is a decided commit "IMAGE.autorevert-committing", but no layer for it to stand on',
    hint: "bring its backing file back, or give it up: rm IMAGE.autorevert-committing",
  },
  {
    if: "two targets have one image",
    arrange: (fixture, image) => {
      fixture.configure({ vda: false, vdb: false });
      Deno.symlinkSync(image, fixture.image("vdb"));
      fixture.sources.set("vdb", fixture.image("vdb"));
    },
    error: 'vdb: "IMAGE" is the image of "vda", too',
    hint: "give each disk its own image: virsh edit guest",
  },
  {
    if: "the image has the name of a layer, as after a blockcommit",
    arrange: (fixture, image) => {
      Deno.renameSync(image, layer(fixture));
      fixture.sources.set("vda", layer(fixture));
    },
    error:
      'vda: the domain\'s disk is "IMAGE.backing_file", which has the name of a layer or note of "IMAGE"',
    hint: "after a blockcommit that file is the disk: with the guest shut off, " +
      "ln -f IMAGE.backing_file IMAGE, then name IMAGE as the source with virsh edit (of a saved guest also with virsh save-image-edit, or managedsave-edit), without <backingStore>",
  },
  {
    if: "the image's name is so long that a commit's would be too long",
    arrange: (fixture) => named(fixture, 234),
    error:
      /^vda: the name of "ROOT\/images\/ü+.*" has 234 bytes, should have at most 233: names beside it are longer$/,
    hint: "with the guest shut off, give the file a shorter one with mv, and name it with virsh edit",
  },
  {
    if: "a folder has the name of a layer",
    arrange: (fixture) => Deno.mkdirSync(layer(fixture)),
    error: 'vda: "IMAGE.backing_file" is not a regular file, but has a name that belongs to a disk',
    hint: "move it away: mv -n IMAGE.backing_file IMAGE.backing_file.old",
  },
  {
    if: "a link has the name of a layer",
    arrange: (fixture, image) => Deno.symlinkSync(image, layer(fixture, 3)),
    error: 'vda: "IMAGE.backing_file.3" is not a regular file, but has a name that belongs to a disk',
    hint: "move it away: mv -n IMAGE.backing_file.3 IMAGE.backing_file.3.old",
  },
]);

Deno.test("a disk with the longest name there may be has its session, and its commit", async () => {
  using fixture = new Fixture().disks({ vda: true });
  named(fixture, 233);
  await fixture.start();
  fixture.write(fixture.sources.get("vda")!, "session");
  await fixture.stop();
  assertEquals(fixture.flags(), { vda: false });
  assertEquals(fixture.read(fixture.sources.get("vda")!), { base: "vda", session: "yes" });
});

Deno.test("where the newest commit is damaged, the refusal of a start names undo, which takes it back", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 1 };
  fixture.disks({ vda: true }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.stop();
  Deno.writeTextFileSync(fixture.vda, "damaged");
  const { code, said } = await fixture.event("prepare");
  assertEquals(code, 1);
  await fixture.event("release", "failed");
  const undone = await fixture.type("undo guest --yes");
  assertEquals([undone.code, fixture.disk("vda")], [0, { base: "vda" }]);
  assertStringIncludes(said.join("\n"), "autorevert undo guest");
});
