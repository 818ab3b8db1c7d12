import { link } from "../lib/host/files.ts";
import type { Host } from "../lib/host/host.ts";
import { type Refused, testRefused } from "./refused.ts";
import { DOMAIN, type World } from "./world.ts";

const noLinks = (inner: Host["perform"]): Host["perform"] => (step) =>
  // Another file system stands for one without hard links: the system refuses both.
  step.kind === "link" ? Promise.resolve(link(step.from, "/proc/none")) : inner(step);

const layer = (world: World, number = 0) =>
  `${world.image("vda")}.backing_file${number === 0 ? "" : `.${number}`}`;

/** Somebody's own overlay in the image's place. */
function ownOverlay(world: World, ...layers: number[]): void {
  const image = world.image("vda");
  Deno.renameSync(image, layer(world, layers[0]));
  layers.slice(1).forEach((number, index) =>
    world.save(layer(world, number), layer(world, layers[index]), {})
  );
  world.save(image, layer(world, layers.at(-1)!), { own: "yes" });
}

/** The domain's disk is `os.img` beside the image folder. */
function outside(by: string, path: (world: World) => string): Refused {
  return {
    if: `the image is outside the permitted folders${by}`,
    arrange: (world) => world.sources.set("vda", path(world)),
    error: (world) =>
      `vda: image "${world.root}/os.img" is outside the permitted folders, which are "${world.images}"`,
    hint: (world) => `build the hook for it: make install IMAGE_DIRS='${world.images},${world.root}'`,
  };
}

testRefused([
  {
    if: "the domain has no such target, but a similar one",
    arrange: (world) => world.configure({ vdaa: false }),
    error: () => 'vdaa: the domain has no disk "vdaa", it has "vda"',
    hint: () => 'did you mean "vda"? Correct the target in the configuration',
  },
  {
    if: "the image is a session whose layers are gone",
    arrange: (world) => world.save(world.image("vda"), layer(world), {}),
    error: (world) =>
      `vda: "${
        world.image("vda")
      }" stands on files with another path: its layers were copied, moved or renamed`,
    hint: (world) => `bring back what it stands on: qemu-img info -U ${world.image("vda")} names it`,
  },
  {
    if: "the domain has no such target, nor any like it",
    arrange: (world) => {
      world.configure({ nvme0n1: false });
      world.sources.set("vdb", "/elsewhere.img");
    },
    error: () => 'nvme0n1: the domain has no disk "nvme0n1", it has "vda", "vdb"',
    hint: () => "correct the target in the configuration",
  },
  {
    if: "the domain has no disks",
    arrange: (world) => world.sources.clear(),
    error: () => 'vda: the domain has no disk "vda", it has none',
    hint: () => "correct the target in the configuration",
  },
  outside("", (world) => `${world.root}/os.img`),
  outside(" by a link", (world) => {
    Deno.writeTextFileSync(`${world.root}/os.img`, "");
    Deno.symlinkSync(`${world.root}/os.img`, `${world.images}/link.img`);
    return `${world.images}/link.img`;
  }),
  outside(" by dots", (world) => `${world.images}/../os.img`),
  {
    if: "the image is missing",
    arrange: (world) => Deno.removeSync(world.image("vda")),
    error: (world) => `vda: there is no image "${world.image("vda")}"`,
    hint: () => "restore it, or correct the domain with virsh edit",
  },
  {
    if: "a session is open in another process",
    arrange: (world) => {
      ownOverlay(world, 0);
      world.busy.add(world.image("vda"));
    },
    error: (world) => `vda: "${world.image("vda")}" is open in another process`,
    hint: (world) => `find it: fuser -v ${world.image("vda")}`,
  },
  {
    if: "the image folder has no hard links",
    arrange: () => {},
    how: () => ({ perform: noLinks }),
    error: (world) => new RegExp(`^vda: cannot link "${world.image("vda")}": .+`),
    hint: () => "image folders must be on a file system with hard links (ext4, xfs, btrfs, NFS, …)",
  },
  {
    if: "there is no space for the overlay",
    arrange: (world) => world.full.add(`${world.image("vda")}.autorevert-new`),
    error: () => "vda: qemu-img create failed with exit code 1: No space left on device",
    hint: (world) => `see whether there is room for it: df -h ${world.images}`,
  },
  {
    if: "the image is somebody's own overlay",
    arrange: (world) => ownOverlay(world, 0),
    error: (world) =>
      `vda: "${world.image("vda")}" stands on "${
        layer(world)
      }", but no session of this guest was begun by this hook`,
    hint: (world) =>
      `to throw ${world.image("vda")} away: mv ${layer(world)} ${world.image("vda")}; ` +
      `to keep it as part of the disk: mv ${world.image("vda")} ${layer(world, 1)} && ` +
      `ln ${layer(world, 1)} ${world.image("vda")}`,
  },
  {
    if: "the image is somebody's own overlay on several layers",
    arrange: (world) => ownOverlay(world, 2, 7),
    error: (world) =>
      `vda: "${world.image("vda")}" stands on "${
        layer(world, 7)
      }", but no session of this guest was begun by this hook`,
    hint: (world) =>
      `to throw ${world.image("vda")} away: ln -f ${layer(world, 7)} ${world.image("vda")}; ` +
      `to keep it as part of the disk: mv ${world.image("vda")} ${layer(world, 8)} && ` +
      `ln ${layer(world, 8)} ${world.image("vda")}`,
  },
  {
    if: "somebody's own file is in a session's place",
    arrange: (world) => {
      ownOverlay(world, 0);
      world.save(world.image("vda"), null, { own: "yes" });
    },
    error: (world) =>
      `vda: "${world.image("vda")}" is no overlay on "${
        layer(world)
      }": another file was put in the session's place`,
    hint: (world) =>
      `to throw ${world.image("vda")} away: mv ${layer(world)} ${world.image("vda")}; ` +
      `to make it the disk, move the layers away: mkdir ${world.image("vda")}.old && ` +
      `mv ${layer(world)} ${world.image("vda")}.old`,
  },
  {
    if: "there is a decided commit without its layers",
    arrange: (world) => Deno.renameSync(world.image("vda"), `${world.image("vda")}.autorevert-committing`),
    error: (world) =>
      `vda: there is a decided commit "${
        world.image("vda")
      }.autorevert-committing", but no layer for it to stand on`,
    hint: (world) =>
      `bring its backing file back, or give it up: rm ${world.image("vda")}.autorevert-committing`,
  },
  {
    if: "two targets have one image",
    arrange: (world) => {
      world.configure({ vda: false, vdb: false });
      Deno.symlinkSync(world.image("vda"), world.image("vdb"));
      world.sources.set("vdb", world.image("vdb"));
    },
    error: (world) => `vdb: "${world.image("vda")}" is the image of "vda", too`,
    hint: () => `give each disk its own image: virsh edit ${DOMAIN}`,
  },
  {
    if: "the image has the name of a layer, as after a blockcommit",
    arrange: (world) => {
      Deno.renameSync(world.image("vda"), layer(world));
      world.sources.set("vda", layer(world));
    },
    error: (world) =>
      `vda: the domain's disk is "${layer(world)}", which has the name of a layer or note of "${
        world.image("vda")
      }"`,
    hint: (world) =>
      `after a blockcommit that file is the disk: with the guest shut off, ln -f ${layer(world)} ${
        world.image("vda")
      }, then name ${world.image("vda")} as the source with virsh edit, without <backingStore>`,
  },
  {
    if: "a folder has the name of a layer",
    arrange: (world) => Deno.mkdirSync(layer(world)),
    error: (world) => `vda: "${layer(world)}" is not a regular file, but has a name that belongs to a disk`,
    hint: (world) => `move it away: mv ${layer(world)} ${layer(world)}.old`,
  },
  {
    if: "a link has the name of a layer",
    arrange: (world) => Deno.symlinkSync(world.image("vda"), layer(world, 3)),
    error: (world) =>
      `vda: "${layer(world, 3)}" is not a regular file, but has a name that belongs to a disk`,
    hint: (world) => `move it away: mv ${layer(world, 3)} ${layer(world, 3)}.old`,
  },
]);
