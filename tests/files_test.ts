import { assert, assertEquals, assertThrows } from "@std/assert";
import { UserError } from "../lib/errors.ts";
import * as files from "../lib/host/files.ts";
import { fileLog } from "../lib/host/log.ts";
import { shortListings } from "./fault.ts";
import { temporaryFolder } from "./fixture.ts";

/** Runs a test in a folder of its own. */
function test(
  promise: string,
  run: (folder: string) => void,
  options: Partial<Deno.TestDefinition> = {},
): void {
  Deno.test(promise, options, () => {
    const folder = temporaryFolder();
    try {
      run(folder);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

const text = Deno.readTextFileSync;
const put = Deno.writeTextFileSync;

test("a link never takes a name that is there", (folder) => {
  put(`${folder}/a`, "a");
  put(`${folder}/b`, "b");
  const trouble = assertThrows(
    () => files.link(`${folder}/a`, `${folder}/b`),
    UserError,
    `cannot link "${folder}/a"`,
  );
  assertEquals(trouble.hint, undefined);
  assertEquals(text(`${folder}/b`), "b");
});

test("a rename takes a name that is there", (folder) => {
  put(`${folder}/a`, "a");
  put(`${folder}/b`, "b");
  files.rename(`${folder}/a`, `${folder}/b`);
  assertEquals(text(`${folder}/b`), "a");
  assertEquals(files.lstat(`${folder}/a`), undefined);
});

test("what can't be done says what and where", (folder) => {
  const none = `${folder}/none`;
  const calls: readonly (readonly [string, () => void])[] = [
    [`cannot rename "${none}": `, () => files.rename(none, `${folder}/x`)],
    [`cannot remove "${none}": `, () => files.remove(none)],
    [`cannot sync "${none}": `, () => files.sync(none)],
    [`cannot change the owner of "${none}": `, () => files.setOwner(none, { uid: 0, gid: 0, mode: 0 })],
    [`cannot write "${none}/x": `, () => files.write(`${none}/x`, "", { durable: true })],
    [`cannot read "${folder}": Is a directory`, () => files.read(folder)],
    [`cannot list "${none}": `, () => files.list(`${none}/os.img`)],
    [`cannot resolve "${none}/os.img": `, () => files.resolve(`${none}/os.img`)],
  ];
  for (const [message, call] of calls) assertThrows(call, UserError, message);
});

test("what isn't there is no error where that is a fair answer", (folder) => {
  files.removeIfThere(`${folder}/none`);
  assertEquals(files.read(`${folder}/none`), undefined);
  assertEquals(files.lstat(`${folder}/none`), undefined);
});

test("a text is written whole, over what a cut-short write left", (folder) => {
  const path = `${folder}/a`;
  put(path, "old");
  put(`${path}.autorevert-new`, "a longer text that was cut sh");
  files.write(path, "new", { owner: { ...files.ownerOf(path), mode: 0o604 }, durable: true });
  assertEquals(text(path), "new");
  assertEquals(files.ownerOf(path).mode, 0o604);
  assertEquals(files.lstat(`${path}.autorevert-new`), undefined);
});

test("a mode is given as a whole, with the bits beyond rwx", (folder) => {
  const path = `${folder}/a`;
  put(path, "");
  for (const mode of [0o600, 0o4755, 0o640]) {
    files.setOwner(path, { ...files.ownerOf(path), mode });
    assertEquals(files.ownerOf(path).mode, mode);
  }
});

test("only an image's own files are listed, with the inodes they share", (folder) => {
  const image = `${folder}/os.img`;
  put(image, "");
  Deno.linkSync(image, `${image}.backing_file`);
  for (const other of [".backing_file.x", ".new", "2", "2.backing_file"]) put(image + other, "");
  put(`${image}.autorevert-new`, "");
  const listing = files.list(image);
  assertEquals([...listing.keys()].sort(), [image, `${image}.autorevert-new`, `${image}.backing_file`]);
  assertEquals(listing.get(image), listing.get(`${image}.backing_file`));
  assert(listing.get(image) !== listing.get(`${image}.autorevert-new`));
});

Deno.test("a path is resolved while its name goes and comes back, as it does at the end of a merge", async () => {
  const folder = Deno.realPathSync(Deno.makeTempDirSync());
  Deno.writeTextFileSync(`${folder}/layer`, "");
  const busy = new Deno.Command("sh", {
    args: ["-c", "while :; do ln layer os.img; rm os.img; done"],
    cwd: folder,
    stderr: "null",
  }).spawn();
  for (let time = 0; time < 20_000; time++) {
    assertEquals(files.resolve(`${folder}/os.img`), `${folder}/os.img`);
  }
  busy.kill("SIGKILL");
  await busy.status;
  Deno.removeSync(folder, { recursive: true });
});

test("a path is resolved to the file behind all links, even where that is missing", (folder) => {
  Deno.mkdirSync(`${folder}/deep`);
  put(`${folder}/deep/os.img`, "");
  Deno.symlinkSync("deep/os.img", `${folder}/relative`);
  Deno.symlinkSync(`${folder}/relative`, `${folder}/absolute`);
  Deno.symlinkSync("../deep/gone.img", `${folder}/deep/dangling`);
  Deno.symlinkSync(`${folder}/deep/gone.img`, `${folder}/away`);
  assertEquals(files.resolve(`${folder}/absolute`), `${folder}/deep/os.img`);
  assertEquals(files.resolve(`${folder}/deep/../deep/os.img`), `${folder}/deep/os.img`);
  assertEquals(files.resolve(`${folder}/deep/dangling`), `${folder}/deep/gone.img`);
  assertEquals(files.resolve(`${folder}/away`), `${folder}/deep/gone.img`);
  assertEquals(files.resolve("/none.img"), "/none.img");
  assertEquals(files.resolve(`${folder}/deep/none.img`), `${folder}/deep/none.img`);
});

/** Runs something while a call of Deno does something else first. */
function before<Name extends "lstatSync" | "chmodSync" | "chownSync">(
  name: Name,
  first: () => void,
  run: () => void,
): void {
  const original = Deno[name];
  Object.assign(Deno, {
    [name]: (...args: unknown[]) => {
      first();
      return (original as (...args: unknown[]) => unknown)(...args);
    },
  });
  try {
    run();
  } finally {
    Object.assign(Deno, { [name]: original });
  }
}

const fail = () => {
  throw new Error("no");
};

test("an owner is given to a file as a whole, and one that has it is not touched", (folder) => {
  const path = `${folder}/a`;
  put(path, "");
  Deno.chmodSync(path, 0o4755);
  const owner = files.ownerOf(path);
  before("chownSync", fail, () => before("chmodSync", fail, () => files.setOwner(path, owner)));
  // Nobody but root can give a file to others.
  const other = Deno.uid() === 0 ? 1 : 0;
  for (const others of [{ ...owner, gid: owner.gid + other }, { ...owner, uid: owner.uid + other }]) {
    files.setOwner(path, others);
    assertEquals(files.ownerOf(path), others);
  }
});

test("a file that goes while a folder is listed isn't listed", (folder) => {
  put(`${folder}/os.img`, "");
  const vanish = () => Deno.removeSync(`${folder}/os.img`);
  before("lstatSync", vanish, () => assertEquals(files.list(`${folder}/os.img`), new Map()));
});

function leavingOut(left: RegExp, times: number, run: () => void): void {
  using _ = shortListings(({ name }) => left.test(name), times);
  run();
}

test("a listing that leaves something out is made again, and not taken if it still does", (folder) => {
  const image = `${folder}/os.img`;
  const layers = [3, 4, 5].map((number) => `.backing_file.${number}`);
  const names = ["", ...layers, ".autorevert-ended", ".autorevert-committing"];
  for (const name of names) put(image + name, "");
  const whole = files.list(image);
  for (const left of [/^os.img$/, /3$/, /[45]$/, /4$/, /5$/, /ended$/, /committing$/]) {
    leavingOut(left, 1, () => assertEquals(files.list(image), whole));
    leavingOut(left, 2, () => {
      const told = `cannot list "${folder}": not all that is there is found`;
      assertThrows(() => files.list(image), UserError, told);
    });
  }
  put(`${folder}/plain.img`, "");
  put(`${folder}/plain.img.backing_file`, "");
  leavingOut(/backing_file$/, 2, () => assertThrows(() => files.list(`${folder}/plain.img`), UserError));
  leavingOut(/./, 2, () => assertThrows(() => files.siblings(image), UserError));
  assertEquals(files.siblings(`${folder}/none`).length, names.length + 2);
});

test("a walk that leaves out what is known to be there is made again, and tells the folder if it still does", (folder) => {
  const below = `${folder}/below`;
  for (const name of ["below", ".hidden", "elsewhere"]) Deno.mkdirSync(`${folder}/${name}`);
  for (const name of ["a.img", "below/b.img", ".hidden/c.img", "elsewhere/d.img"]) {
    put(`${folder}/${name}`, "");
  }
  const images = [`${folder}/a.img`, `${below}/b.img`];
  Deno.symlinkSync(`${folder}/elsewhere`, `${below}/link`);
  const walk = (path: string) => {
    const missed: string[] = [];
    return [files.walk([folder, below], [path], (folder) => missed.push(folder)).sort(), missed];
  };
  const whole = [[...images, `${folder}/elsewhere/d.img`], []];
  // What it never finds is not waited for.
  for (const path of [...images, `${folder}/none`, `${folder}/.hidden/c.img`, "/etc/passwd", below]) {
    assertEquals(walk(path), whole);
  }
  for (const left of [/b.img/, /below/]) {
    leavingOut(left, 1, () => assertEquals(walk(images[1]!), whole));
    leavingOut(
      left,
      2,
      () => assertEquals(walk(images[1]!), [whole[0]!.filter((path) => path !== images[1]), [below]]),
    );
  }
});

test("of two calls the one that failed is told", (folder) => {
  const path = `${folder}/a`;
  put(path, "old");
  const owner = { ...files.ownerOf(path), mode: 0o4755 };
  before("chmodSync", fail, () => {
    const told = `cannot change the owner of "${path}.autorevert-new": no`;
    const trouble = assertThrows(() => files.write(path, "new", { owner, durable: false }), UserError);
    assertEquals(trouble.message, told);
  });
  assertEquals(text(path), "old");
});

test("a path in the root folder has one slash", () => {
  assertThrows(() => files.list("/etc"), UserError, '"/etc" is not a regular file');
});

test("two paths are of one file if both lead to it", (folder) => {
  put(`${folder}/a`, "");
  put(`${folder}/b`, "");
  Deno.linkSync(`${folder}/a`, `${folder}/link`);
  Deno.symlinkSync("a", `${folder}/symlink`);
  for (const name of ["a", "link", "symlink"]) assert(files.sameFile(`${folder}/a`, `${folder}/${name}`));
  for (const name of ["b", "none", "."]) {
    assertEquals(files.sameFile(`${folder}/a`, `${folder}/${name}`), false);
    assertEquals(files.sameFile(`${folder}/${name}`, `${folder}/a`), false);
  }
  assert(files.sameFile(`${folder}/none`, `${folder}/none`));
  // Of two file systems, and with the same number.
  assertEquals(files.sameFile("/proc", "/sys"), false);
});

test("a name that is too long for a file isn't there", (folder) => {
  assertEquals(files.lstat(`${folder}/${"x".repeat(256)}`), undefined);
});

test("a figure is left in a file that is there, and makes none", (folder) => {
  files.writeProgress(`${folder}/a`, "1 %");
  assertEquals(files.lstat(`${folder}/a`), undefined);
  put(`${folder}/a`, "1 %");
  files.writeProgress(`${folder}/a`, "12 %");
  assertEquals(text(`${folder}/a`), "12 %");
});

test("links in a ring lead nowhere", (folder) => {
  Deno.symlinkSync("b", `${folder}/a`);
  Deno.symlinkSync("a", `${folder}/b`);
  assertThrows(() => files.resolve(`${folder}/a`), UserError, `cannot resolve "${folder}/a": `);
});

/** The log is open until the program ends. */
const openToTheEnd = { sanitizeResources: false };

test("the log appends whole lines, with the time as libvirt writes it", (folder) => {
  const log = fileLog(`${folder}/log`, () => new Date("2026-01-02T03:04:05.678Z"));
  put(`${folder}/log`, "older\n");
  log("first");
  log("forged\nline");
  assertEquals(
    text(`${folder}/log`),
    "older\n2026-01-02 03:04:05.678+0000: first\n2026-01-02 03:04:05.678+0000: forged line\n",
  );
}, openToTheEnd);

test("a log that can't be written stops nothing", (folder) => {
  fileLog(`${folder}/none/log`, () => new Date())("line");
  assertEquals([...Deno.readDirSync(folder)], []);
});

test("files are told apart by inode numbers, or not at all", (folder) => {
  const image = `${folder}/a.img`;
  put(image, "");
  const { lstatSync, statSync } = Deno;
  const large = (look: typeof lstatSync): typeof lstatSync => (path) => ({ ...look(path), ino: 2 ** 53 });
  Object.assign(Deno, { lstatSync: large(lstatSync), statSync: large(statSync) });
  try {
    const error = assertThrows(
      () => files.list(image),
      UserError,
      `the inode number of "${image}" is too large`,
    );
    assertEquals(
      error.hint,
      "mount GlusterFS with -o enable-ino32, or keep images on ext4, xfs, btrfs or NFS",
    );
    assertEquals(files.sameFile(image, `${folder}/./a.img`), false);
  } finally {
    Object.assign(Deno, { lstatSync, statSync });
  }
});
