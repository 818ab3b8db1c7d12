import { assertEquals } from "@std/assert";
import { link } from "../lib/host/files.ts";
import type { Host } from "../lib/host/host.ts";
import { type Refused, testRefused } from "./refused.ts";
import { DOMAIN, Fixture } from "./fixture.ts";

const noLinks = (inner: Host["perform"]): Host["perform"] => (step) =>
  // Another file system stands for one without hard links: the system refuses both.
  step.kind === "link" ? Promise.resolve(link(step.from, "/proc/none")) : inner(step);

const layer = (fixture: Fixture, number = 0) =>
  `${fixture.image("vda")}.backing_file${number === 0 ? "" : `.${number}`}`;

const broughtBack = (file: string) =>
  `restore it from where it was moved or copied; what stands on what: qemu-img info -U --backing-chain ${file}`;

/** Somebody's own overlay in the image's place. */
function ownOverlay(fixture: Fixture, ...layers: number[]): void {
  const image = fixture.image("vda");
  Deno.renameSync(image, layer(fixture, layers[0]));
  layers.slice(1).forEach((number, index) =>
    fixture.save(layer(fixture, number), layer(fixture, layers[index]), {})
  );
  fixture.save(image, layer(fixture, layers.at(-1)!), { own: "yes" });
}

/** The domain's disk has a name of so many bytes, half as many letters. */
function named(fixture: Fixture, bytes: number): void {
  const path = `${fixture.images}/${"ü".repeat(Math.floor(bytes / 2))}${bytes % 2 === 0 ? "" : "u"}`;
  Deno.renameSync(fixture.image("vda"), path);
  fixture.sources.set("vda", path);
}

/** The domain's disk is `os.img` beside the image folder. */
function outside(by: string, path: (fixture: Fixture) => string): Refused {
  return {
    if: `the image is outside the permitted folders${by}`,
    arrange: (fixture) => fixture.sources.set("vda", path(fixture)),
    error: (fixture) =>
      `vda: image "${fixture.root}/os.img" is outside the permitted folders, which are "${fixture.images}"`,
    hint: (fixture) => `build the hook for it: make install IMAGE_DIRS='${fixture.images},${fixture.root}'`,
  };
}

testRefused([
  {
    if: "the domain has no such target, but a similar one",
    arrange: (fixture) => fixture.configure({ vdaa: false }),
    error: () => 'vdaa: the domain has no disk "vdaa", it has "vda"',
    hint: () => 'did you mean "vda"? Correct the target in the configuration',
  },
  {
    if: "the image is a session whose layers are gone",
    arrange: (fixture) => fixture.save(fixture.image("vda"), layer(fixture), {}),
    error: (fixture) => `vda: "${layer(fixture)}" is missing, which "${fixture.image("vda")}" stands on`,
    hint: (fixture) => broughtBack(fixture.image("vda")),
  },
  ...["here", "elsewhere"].map((where): Refused => ({
    if: `a commit in between is missing, and the layers name files ${where}`,
    arrange: (fixture) => {
      ownOverlay(fixture, 0, 1, 2);
      const [folder, name] = [where === "here" ? fixture.images : "/old", "vda.img.backing_file"];
      fixture.save(layer(fixture, 2), `${folder}/${name}.1`, {});
      Deno.removeSync(fixture.image("vda"));
      Deno.linkSync(layer(fixture, 2), fixture.image("vda"));
      Deno.removeSync(layer(fixture, 1));
    },
    error: (fixture) => `vda: "${layer(fixture, 1)}" is missing, which "${layer(fixture, 2)}" stands on`,
    hint: (fixture) => broughtBack(layer(fixture, 2)),
  })),
  {
    if: "the image is somebody's own file, and the disk's golden image is missing",
    arrange: (fixture) => {
      ownOverlay(fixture, 1);
      fixture.save(layer(fixture, 1), "/golden/base.img.backing_file", {});
      fixture.save(fixture.image("vda"), null, { own: "yes" });
    },
    error: (fixture) =>
      new RegExp(
        `^vda: "${fixture.image("vda")}" is no overlay on .*, and "/golden/base.img.backing_file" is missing`,
      ),
    hint: (fixture) =>
      `see what they are: qemu-img info ${fixture.image("vda")}; qemu-img info --backing-chain ${
        layer(fixture, 1)
      }; if ${fixture.image("vda")} is the missing file: mv -n ${
        fixture.image("vda")
      } /golden/base.img.backing_file && ln ${layer(fixture, 1)} ${fixture.image("vda")}`,
  },
  {
    if: "the newest commit is missing below a session",
    arrange: (fixture) => {
      ownOverlay(fixture, 0, 1, 2);
      Deno.removeSync(layer(fixture, 2));
    },
    error: (fixture) => `vda: "${layer(fixture, 2)}" is missing, which "${fixture.image("vda")}" stands on`,
    hint: (fixture) => broughtBack(fixture.image("vda")),
  },
  {
    if: "somebody's own file is in a session's place, which may be the layer that is missing",
    arrange: (fixture) => {
      ownOverlay(fixture, 0, 1);
      Deno.renameSync(layer(fixture), fixture.image("vda"));
    },
    error: (fixture) =>
      `vda: "${fixture.image("vda")}" is no overlay on "${layer(fixture, 1)}", and "${
        layer(fixture)
      }" is missing, which "${layer(fixture, 1)}" stands on: "${fixture.image("vda")}" may be that file`,
    hint: (fixture) =>
      `see what they are: qemu-img info ${fixture.image("vda")}; qemu-img info --backing-chain ${
        layer(fixture, 1)
      }; if ${fixture.image("vda")} is the missing file: mv -n ${fixture.image("vda")} ${
        layer(fixture)
      } && ln ${layer(fixture, 1)} ${fixture.image("vda")}`,
  },
  {
    if: "the domain has no such target, nor any like it",
    arrange: (fixture) => {
      fixture.configure({ nvme0n1: false });
      fixture.sources.set("vdb", "/elsewhere.img");
    },
    error: () => 'nvme0n1: the domain has no disk "nvme0n1", it has "vda", "vdb"',
    hint: () => "correct the target in the configuration",
  },
  {
    if: "the domain has no disks",
    arrange: (fixture) => fixture.sources.clear(),
    error: () => 'vda: the domain has no disk "vda", it has none',
    hint: () => "correct the target in the configuration",
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
    arrange: (fixture) => Deno.removeSync(fixture.image("vda")),
    error: (fixture) => `vda: there is no image "${fixture.image("vda")}"`,
    hint: () => "restore it, or correct the domain with virsh edit",
  },
  {
    if: "a session is open in another process",
    arrange: (fixture) => {
      ownOverlay(fixture, 0);
      fixture.busy.add(fixture.image("vda"));
    },
    error: (fixture) => `vda: "${fixture.image("vda")}" is open in another process`,
    hint: (fixture) => `find it: fuser -v ${fixture.image("vda")}`,
  },
  {
    if: "the image folder has no hard links",
    arrange: () => {},
    how: () => ({ perform: noLinks }),
    error: (fixture) => new RegExp(`^vda: cannot link "${fixture.image("vda")}": .+`),
    hint: () => "image folders must be on a file system with hard links (ext4, xfs, btrfs, NFS, …)",
  },
  {
    if: "there is no space for the overlay",
    arrange: (fixture) => fixture.full.add(`${fixture.image("vda")}.autorevert-new`),
    error: () => "vda: qemu-img create failed with exit code 1: No space left on device",
    hint: (fixture) => `see whether there is room for it: df -h ${fixture.images}`,
  },
  {
    if: "the image is somebody's own overlay",
    arrange: (fixture) => ownOverlay(fixture, 0),
    error: (fixture) =>
      `vda: "${fixture.image("vda")}" stands on "${
        layer(fixture)
      }", but no session of this guest was begun by this hook`,
    hint: (fixture) =>
      `to throw ${fixture.image("vda")} away: mv ${layer(fixture)} ${fixture.image("vda")}; ` +
      `to keep it as part of the disk: mv ${fixture.image("vda")} ${layer(fixture, 1)} && ` +
      `ln ${layer(fixture, 1)} ${fixture.image("vda")}`,
  },
  {
    if: "the image is somebody's own overlay on several layers",
    arrange: (fixture) => ownOverlay(fixture, 2, 7),
    error: (fixture) =>
      `vda: "${fixture.image("vda")}" stands on "${
        layer(fixture, 7)
      }", but no session of this guest was begun by this hook`,
    hint: (fixture) =>
      `to throw ${fixture.image("vda")} away: ln -f ${layer(fixture, 7)} ${fixture.image("vda")}; ` +
      `to keep it as part of the disk: mv ${fixture.image("vda")} ${layer(fixture, 8)} && ` +
      `ln ${layer(fixture, 8)} ${fixture.image("vda")}`,
  },
  {
    if: "somebody's own file is in a session's place",
    arrange: (fixture) => {
      ownOverlay(fixture, 0);
      fixture.save(fixture.image("vda"), null, { own: "yes" });
    },
    error: (fixture) =>
      `vda: "${fixture.image("vda")}" is no overlay on "${
        layer(fixture)
      }": another file was put in the session's place`,
    hint: (fixture) =>
      `to throw ${fixture.image("vda")} away: mv ${layer(fixture)} ${fixture.image("vda")}; ` +
      `to make it the disk, move the layers away: mkdir ${fixture.image("vda")}.old && ` +
      `mv ${layer(fixture)} ${fixture.image("vda")}.old`,
  },
  {
    if: "there is a decided commit without its layers",
    arrange: (fixture) =>
      Deno.renameSync(fixture.image("vda"), `${fixture.image("vda")}.autorevert-committing`),
    error: (fixture) =>
      `vda: there is a decided commit "${
        fixture.image("vda")
      }.autorevert-committing", but no layer for it to stand on`,
    hint: (fixture) =>
      `bring its backing file back, or give it up: rm ${fixture.image("vda")}.autorevert-committing`,
  },
  {
    if: "two targets have one image",
    arrange: (fixture) => {
      fixture.configure({ vda: false, vdb: false });
      Deno.symlinkSync(fixture.image("vda"), fixture.image("vdb"));
      fixture.sources.set("vdb", fixture.image("vdb"));
    },
    error: (fixture) => `vdb: "${fixture.image("vda")}" is the image of "vda", too`,
    hint: () => `give each disk its own image: virsh edit ${DOMAIN}`,
  },
  {
    if: "the image has the name of a layer, as after a blockcommit",
    arrange: (fixture) => {
      Deno.renameSync(fixture.image("vda"), layer(fixture));
      fixture.sources.set("vda", layer(fixture));
    },
    error: (fixture) =>
      `vda: the domain's disk is "${layer(fixture)}", which has the name of a layer or note of "${
        fixture.image("vda")
      }"`,
    hint: (fixture) =>
      `after a blockcommit that file is the disk: with the guest shut off, ln -f ${layer(fixture)} ${
        fixture.image("vda")
      }, then name ${fixture.image("vda")} as the source with virsh edit, without <backingStore>`,
  },
  {
    if: "the image's name is so long that a commit's would be too long",
    arrange: (fixture) => named(fixture, 234),
    error: (fixture) =>
      new RegExp(
        `^vda: the name of "${fixture.images}/ü+.*" has 234 bytes, should have at most 233: names beside it are longer$`,
      ),
    hint: () => "with the guest shut off, give the file a shorter one with mv, and name it with virsh edit",
  },
  {
    if: "a folder has the name of a layer",
    arrange: (fixture) => Deno.mkdirSync(layer(fixture)),
    error: (fixture) =>
      `vda: "${layer(fixture)}" is not a regular file, but has a name that belongs to a disk`,
    hint: (fixture) => `move it away: mv ${layer(fixture)} ${layer(fixture)}.old`,
  },
  {
    if: "a link has the name of a layer",
    arrange: (fixture) => Deno.symlinkSync(fixture.image("vda"), layer(fixture, 3)),
    error: (fixture) =>
      `vda: "${layer(fixture, 3)}" is not a regular file, but has a name that belongs to a disk`,
    hint: (fixture) => `move it away: mv ${layer(fixture, 3)} ${layer(fixture, 3)}.old`,
  },
]);

Deno.test("a disk with the longest name there may be has its session, and its commit", async () => {
  using fixture = new Fixture();
  fixture.disks({ vda: true });
  named(fixture, 233);
  await fixture.start();
  fixture.write(fixture.sources.get("vda")!, "session");
  await fixture.stop();
  assertEquals(fixture.flags(), { vda: false });
  assertEquals(fixture.read(fixture.sources.get("vda")!), { base: "vda", session: "yes" });
});
