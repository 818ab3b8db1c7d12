/** What `check` finds, each with its next command. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { realHost } from "../lib/host/real_host.ts";
import { about } from "../lib/command/help.ts";
import { namesOf } from "../lib/state/paths.ts";
import { defaults } from "../lib/settings.ts";
import { tearing } from "./fault.ts";
import { snapshot } from "./tree.ts";
import { Fixture, LATER, LONG_AGO } from "./fixture.ts";

/** All files but the locks; of folders not the time, since a name is made and removed again. */
const filesOf = ({ root }: Fixture) =>
  snapshot(root).filter((line) => !/(\/config|\/images|[.-]lock)$/.test(JSON.parse(line)[0]));

/** A host on which nothing is wrong. */
function sound(): Fixture {
  const fixture = new Fixture().disks({ vda: false }).define();
  fixture.settings = { ...fixture.settings, qemuImg: defaults.qemuImg };
  installHook(fixture, about(fixture.settings));
  return fixture;
}

const hook = ({ settings }: Fixture) => settings.programs[0]!;
const xmlOf = ({ settings }: Fixture, domain = "guest") => `${settings.definedFolder}/${domain}.xml`;

function installHook(fixture: Fixture, version: string, path = hook(fixture)): void {
  Deno.writeTextFileSync(path, `#!/bin/sh\ncat <<'END'\n${version}\nEND\n`);
  Deno.chmodSync(path, 0o755);
}

/** A commit that waits to be merged. */
async function commit(fixture: Fixture): Promise<void> {
  fixture.configure({ vda: true });
  await fixture.start();
  await fixture.good("release", "shutdown", { mergeDies: true });
}

interface Wrong {
  readonly what: string;
  readonly arrange: (fixture: Fixture) => Promise<unknown> | void;
  /** With the fixture's paths as `ROOT`. */
  readonly message: RegExp;
  readonly hint: RegExp;
  readonly severity?: "warning";
  /** Guest and disk; undefined for the host. */
  readonly whom?: readonly [domain: string, target?: string];
}

const onDisk = ["guest", "vda"] as const;

const wrongs: readonly Wrong[] = [
  {
    what: "no hook",
    arrange: (fixture) => Deno.removeSync(hook(fixture)),
    message: /^the hook is not installed: there is no "ROOT\/qemu"$/,
    hint: /^make install, or by hand: install -m 755 dist\/qemu ROOT\/qemu$/,
  },
  {
    what: "a hook that is not marked as executable",
    arrange: (fixture) => Deno.chmodSync(hook(fixture), 0o644),
    message: /^"ROOT\/qemu" is not marked as executable: guests start without it, or not at all$/,
    hint: /^chmod 755 ROOT\/qemu$/,
  },
  {
    what: "a hook that can't be executed",
    arrange: (fixture) => Deno.writeTextFileSync(hook(fixture), "#!/no/such/shell\n"),
    message:
      /^"ROOT\/qemu" can't be executed: libvirt starts no guest, and stops every guest that runs when its daemon restarts$/,
    hint: /^see why: ROOT\/qemu --version; is it mounted with noexec\? findmnt -T ROOT\/qemu$/,
  },
  {
    what: "a hook that others can write",
    arrange: (fixture) => Deno.chmodSync(hook(fixture), 0o775),
    message: /^"ROOT\/qemu" can be written by others than root, and runs as root$/,
    hint: /^chmod 755 ROOT\/qemu$/,
  },
  {
    what: "another hook",
    arrange: (fixture) => installHook(fixture, "usage: qemu"),
    message: /^"ROOT\/qemu" is another hook: libvirt doesn't call this one$/,
    hint: /^put this one beside it: make install$/,
  },
  {
    what: "another version of the hook",
    arrange: (fixture) => installHook(fixture, "autorevert 0.0.1"),
    message: /^"ROOT\/qemu" is another build than this command$/,
    hint: /^compare ROOT\/qemu --version with autorevert --version, and install the one you want: /,
  },
  {
    what: "the hook twice",
    arrange: (fixture) => {
      const second = `${fixture.root}/qemu.d`;
      fixture.settings = { ...fixture.settings, programs: [...fixture.settings.programs, second] };
      installHook(fixture, about(fixture.settings), second);
    },
    message: /^the hook is installed twice, as "ROOT\/qemu" and "ROOT\/qemu.d"$/,
    hint: /^remove one: rm ROOT\/qemu.d$/,
  },
  {
    what: "a libvirtd that is older than its hook",
    arrange: (fixture) => {
      Deno.writeTextFileSync(fixture.settings.daemons[0]!, "1");
      Deno.utimeSync(fixture.settings.daemons[0]!, LONG_AGO, LONG_AGO);
    },
    message: /^libvirtd was started before the hook was installed, and looks for hooks only when it starts$/,
    hint: /^systemctl restart libvirtd; guests run on$/,
    severity: "warning",
  },
  {
    what: "no qemu-img",
    arrange: (fixture) => {
      fixture.settings = { ...fixture.settings, qemuImg: `${fixture.root}/qemu-img` };
      installHook(fixture, about(fixture.settings));
    },
    message: /^cannot run "ROOT\/qemu-img": /,
    hint: /^install it \(Debian: apt install qemu-utils\)/,
  },
  {
    what: "a configuration that isn't valid",
    arrange: (fixture) => fixture.configureText("{}"),
    message: /^"ROOT\/config\/guest.json" at disks: is missing, should be a list/,
    hint: /^correct ROOT\/config\/guest.json, or remove it/,
    whom: ["guest"],
  },
  {
    what: "a configuration that others can write",
    arrange: (fixture) => Deno.chmodSync(fixture.configFile, 0o666),
    message: /^"ROOT\/config\/guest.json" can be written by others than root/,
    hint: /^chmod go-w ROOT\/config\/guest.json$/,
    whom: ["guest"],
  },
  {
    what: "a note that is none",
    arrange: (fixture) => Deno.writeTextFileSync(fixture.note, "?"),
    message: /^"ROOT\/config\/guest.session" is not a note of this hook/,
    hint:
      /^restore it, or move it away: mv ROOT\/config\/guest.session ROOT\/config\/guest.session.unreadable; /,
    whom: ["guest"],
  },
  {
    what: "a domain that is gone",
    arrange: (fixture) => Deno.removeSync(xmlOf(fixture)),
    message: /^libvirt knows no such domain; without a configuration are none$/,
    hint:
      /^if it comes here from another host, leave this as it is; if it was renamed, rename ROOT\/config\/guest.json with it; if it is gone, remove ROOT\/config\/guest.json$/,
    whom: ["guest"],
  },
  {
    what: "a domain that was renamed in a session",
    arrange: async (fixture) => {
      await fixture.start();
      await fixture.stop("saved");
      Deno.renameSync(xmlOf(fixture), xmlOf(fixture, "other"));
    },
    message: /^libvirt knows no such domain; without a configuration are "other"$/,
    hint:
      /^if it comes here from another host, leave this as it is; if it is called "other" now: mv ROOT\/config\/guest.json ROOT\/config\/other.json && mv ROOT\/config\/guest.session ROOT\/config\/other.session; if it is gone, remove ROOT\/config\/guest.json and ROOT\/config\/guest.session$/,
    whom: ["guest"],
  },
  {
    what: "a domain whose name is nearly the same",
    arrange: (fixture) => Deno.renameSync(xmlOf(fixture), xmlOf(fixture, "gest")),
    message: /without a configuration are "gest"$/,
    hint:
      /^if it comes here from another host, leave this as it is; if it is called "gest" now: mv ROOT\/config\/guest.json ROOT\/config\/gest.json; if it is gone, remove ROOT\/config\/guest.json$/,
    whom: ["guest"],
  },
  {
    what: "a target that the domain doesn't have",
    arrange: (fixture) => fixture.configure({ vda: false, sda: false }),
    message: /^the domain has no disk "sda", it has "vda"$/,
    hint: /^correct the target in the configuration; if the disk was detached: autorevert disable guest sda$/,
    whom: ["guest", "sda"],
  },
  {
    what: "an image outside the permitted folders",
    arrange: (fixture) => {
      fixture.sources.set("vda", "/usr/share/os.img");
      fixture.define();
    },
    message: /^image "\/usr\/share\/os.img" is outside the permitted folders, which are "ROOT\/images"$/,
    hint: /^build the hook for it: make install IMAGE_DIRS=/,
    whom: onDisk,
  },
  {
    what: "no image",
    arrange: (fixture) => Deno.removeSync(fixture.vda),
    message: /^there is no image "ROOT\/images\/vda.img"$/,
    hint: /^mount its folder, restore it, or correct the domain with virsh edit$/,
    whom: onDisk,
  },
  {
    what: "an image that isn't qcow2",
    arrange: (fixture) => Deno.writeTextFileSync(fixture.vda, "MZ"),
    message: /^"ROOT\/images\/vda.img" is no readable qcow2 image$/,
    hint: /^see what it is: qemu-img info ROOT\/images\/vda.img/,
    whom: onDisk,
  },
  {
    what: "an overlay that isn't ours",
    arrange: (fixture) => {
      const { image, layer } = namesOf(fixture.vda);
      Deno.renameSync(image, layer(0));
      fixture.save(image, layer(0), {});
    },
    message:
      /^"ROOT\/images\/vda.img" stands on ".*", but no session of this guest was begun by this hook, unless on another host$/,
    hint:
      /^to throw it away: autorevert recover --discard guest vda; to keep it as part of the disk: autorevert recover --keep guest vda$/,
    whom: onDisk,
  },
  {
    what: "XML that points at the backing file",
    arrange: (fixture) => {
      fixture.sources.set("vda", `${fixture.vda}.backing_file`);
      fixture.define();
    },
    message: /^the domain's disk is "ROOT\/images\/vda.img.backing_file", which has the name of a layer/,
    hint: /^after a blockcommit that file is the disk: /,
    whom: onDisk,
  },
  {
    what: "a guest that writes to an external snapshot",
    arrange: async (fixture) => {
      await fixture.start();
      fixture.sources.set("vda", `${fixture.images}/vda.snap`);
      fixture.run();
    },
    message: /^the guest writes to "ROOT\/images\/vda.snap" now, which may stand on the session/,
    hint:
      /virsh blockcommit guest vda --base ROOT\/images\/vda.img --top ROOT\/images\/vda.snap --active --pivot$/,
    whom: onDisk,
  },
  {
    what: "a guest that runs without a session",
    arrange: (fixture) => fixture.run(),
    message: /^the guest writes to the disk itself: it was started before the disk was listed, or /,
    hint: /^shut it down and start it again: virsh shutdown guest$/,
    severity: "warning",
    whom: onDisk,
  },
  {
    what: "an event that was cut short",
    arrange: async (fixture) => {
      await fixture.start();
      Deno.removeSync(fixture.vda);
    },
    message: /^an event was interrupted; the next start or stop completes it$/,
    hint: /^now: autorevert recover guest$/,
    severity: "warning",
    whom: onDisk,
  },
  {
    what: "a folder that is nearly full",
    arrange: async (fixture) => {
      await fixture.start();
      Deno.writeFileSync(fixture.vda, new Uint8Array(4 * 1024 * 1024), { append: true });
      fixture.free = 1024 * 1024;
    },
    message:
      /^"ROOT\/images" has 1\.0 MiB left, and its sessions and commits hold 4\.0 MiB: merging could need as much$/,
    hint: /^make room for 3\.0 MiB; a guest that runs out of room is paused by QEMU$/,
    severity: "warning",
  },
  {
    what: "a folder that is full",
    arrange: (fixture) => void (fixture.free = 512),
    message: /^"ROOT\/images" has 512 bytes left: no start can make its overlay$/,
    hint: /^make room for 1\.0 MiB: df -h ROOT\/images$/,
  },
  {
    what: "another name of an image that nobody needs",
    arrange: (fixture) => {
      fixture.save(`${fixture.images}/old.img`, null, {});
      Deno.linkSync(`${fixture.images}/old.img`, `${fixture.images}/old.img.backing_file`);
    },
    message: /^"ROOT\/images\/old.img.backing_file" belongs to no configured disk$/,
    hint: /^if a guest of another host uses it, look there: autorevert status; else enable it for its guest,/,
    severity: "warning",
  },
  {
    what: "layers of a disk that is not configured any more",
    arrange: (fixture) => {
      const { image, layer } = namesOf(`${fixture.images}/old.img`);
      fixture.save(layer(0), null, {});
      fixture.save(image, layer(0), {});
    },
    message: /^"ROOT\/images\/old.img.backing_file" belongs to no configured disk$/,
    hint:
      /^they are the disk: enable it for its guest again, or look at them yourself: qemu-img info --backing-chain ROOT/,
    severity: "warning",
  },
  {
    what: "an image whose name leaves no room for a commit's",
    arrange: (fixture) => {
      const path = `${fixture.images}/${"x".repeat(234)}`;
      Deno.renameSync(fixture.vda, path);
      fixture.sources.set("vda", path);
      fixture.define();
    },
    message:
      /^the name of "ROOT\/images\/x+… has 234 bytes, should have at most 233: names beside it are longer$/,
    hint: /^with the guest shut off, give the file a shorter one with mv/,
    whom: onDisk,
  },
  {
    what: "a commit with internal snapshots, which would not be merged",
    arrange: async (fixture) => {
      await commit(fixture);
      const upper = `${fixture.vda}.backing_file.1`;
      const { info } = fixture.qemuImg;
      fixture.qemuImg = {
        ...fixture.qemuImg,
        info: async (image) => {
          const look = await info.call(fixture.qemuImg, image);
          return look.kind === "free" && image === upper ? { ...look, snapshots: ["old"] } : look;
        },
      };
    },
    message:
      /^"ROOT\/images\/vda.img.backing_file.1" has internal snapshots, which a merge would delete: "old"$/,
    hint: /^delete them yourself: qemu-img snapshot -d old ROOT/,
    severity: "warning",
    whom: onDisk,
  },
  {
    what: "a commit that stands on another file, and would not be merged",
    arrange: async (fixture) => {
      await commit(fixture);
      Deno.renameSync(`${fixture.vda}.backing_file`, `${fixture.root}/base`);
      fixture.save(`${fixture.vda}.backing_file.1`, `${fixture.root}/base`, {});
      fixture.save(`${fixture.vda}.backing_file`, null, {});
    },
    message: /stands on "ROOT\/base", should be "ROOT\/images\/vda.img.backing_file"$/,
    hint: /^see what stands on what: /,
    severity: "warning",
    whom: onDisk,
  },
  {
    what: "two disks with one image",
    arrange: (fixture) => {
      fixture.sources.set("vdb", fixture.vda);
      fixture.define();
      fixture.configure({ vda: false, vdb: false });
    },
    message: /^"ROOT\/images\/vda.img" is the image of "vda", too$/,
    hint: /^give each disk its own image: virsh edit guest$/,
    whom: ["guest", "vdb"],
  },
  {
    what: "a guest with the same image, by another name of it, that the hook does nothing for",
    arrange: (fixture) => {
      Deno.symlinkSync(fixture.vda, `${fixture.images}/link.img`);
      fixture.sources.set("vda", `${fixture.images}/link.img`);
      fixture.define("win 11");
    },
    message: /^"ROOT\/images\/vda.img" is a disk of "win 11", too, which would write to it without the hook$/,
    hint: /^give each its own image: virsh edit 'win 11'; or: autorevert enable 'win 11'$/,
    severity: "warning",
    whom: onDisk,
  },
  {
    what: "a write that was cut short",
    arrange: (fixture) => Deno.writeTextFileSync(`${fixture.configFile}.autorevert-new`, "{"),
    message: /^"ROOT\/config\/guest.json.autorevert-new" was left by a write that was cut short$/,
    hint: /^rm ROOT\/config\/guest.json.autorevert-new$/,
    severity: "warning",
  },
];

for (const { what, arrange, message, hint, severity = "error", whom = [] } of wrongs) {
  Deno.test(`check finds ${what}, and leaves it as it is`, async () => {
    using fixture = sound();
    await arrange(fixture);
    const before = filesOf(fixture);
    const { code, printed, said } = await fixture.type("check --json");
    assertEquals([code, said], [1, []]);
    const { findings } = JSON.parse(printed.join("\n"));
    assertEquals(findings.length, 1, JSON.stringify(findings));
    const [found] = findings;
    const named = (text: string) => text.replaceAll(fixture.root, "ROOT");
    assert(message.test(named(found.message)), named(found.message));
    assert(hint.test(named(found.hint)), named(found.hint));
    assertEquals([found.severity, found.domain, found.target], [severity, whom[0] ?? null, whom[1] ?? null]);

    const text = await fixture.type("check");
    const who = whom.map((name) => ` ${name}`).join("");
    assertEquals(text.printed.slice(0, 2), [
      `${severity}:${who}${who && ":"} ${found.message}`,
      `hint: ${found.hint}`,
    ]);
    assertEquals(filesOf(fixture), before);
  });
}

Deno.test("check finds nothing where nothing is wrong, and changes nothing", async () => {
  using fixture = sound();
  const before = filesOf(fixture);
  const { code, printed, said } = await fixture.type("check");
  assertEquals([code, printed, said], [0, ["1 guest, 1 disk: nothing is wrong"], []]);
  assertEquals(filesOf(fixture), before);
});

Deno.test("check finds nothing wrong with a commit that waits to be merged, or is being merged", async () => {
  using fixture = sound();
  await commit(fixture);
  assertEquals((await fixture.type("check")).printed, ["1 guest, 1 disk: nothing is wrong"]);
  await fixture.merge({ perform: tearing(fixture) });
  assertEquals((await fixture.type("check")).printed, ["1 guest, 1 disk: nothing is wrong"]);
});

Deno.test("check says where it was not tried, which is nothing wrong", async () => {
  const untried = [
    [0x2fc12fc1, "ZFS"],
    [0x65735546, "a FUSE file system (of these GlusterFS was tried, with enable-ino32)"],
    [0x1234, "a file system of type 0x1234"],
  ] as const;
  for (const [type, name] of untried) {
    using fixture = sound();
    fixture.fileSystem = type;
    const { code, printed } = await fixture.type("check");
    assertEquals([code, printed], [0, [
      `note: "${fixture.images}" is on ${name}, where this program was not tried`,
      "hint: before you rely on it, see there with a guest that you can lose: a revert, a commit, an undo",
      "1 guest, 1 disk: nothing is wrong",
    ]]);
    const { findings } = JSON.parse((await fixture.type("check --json")).printed.join(""));
    assertEquals(findings.map(({ severity }: { severity: string }) => severity), ["note"]);
  }
});

Deno.test("check tells once of guests that are configured for one image", async () => {
  using fixture = sound();
  fixture.define("other");
  Deno.copyFileSync(fixture.configFile, `${fixture.config}/other.json`);
  assertEquals((await fixture.type("check")).printed, [
    `warning: guest vda: "${fixture.vda}" is a disk of "other", too: ` +
    "only one guest can run at a time, and each finds what another one commits",
    "hint: give each its own image: virsh edit other",
    "2 guests, 2 disks: 0 errors, 1 warning",
  ]);
});

Deno.test("check believes a libvirtd that has called the hook since it started", async () => {
  using fixture = sound();
  const [daemon] = fixture.settings.daemons;
  Deno.writeTextFileSync(daemon!, "1");
  Deno.utimeSync(daemon!, LONG_AGO, LONG_AGO);
  const line = (time: Date) =>
    `${time.toISOString().replace("T", " ").replace("Z", "+0000")}: guest vda: new session: x\n`;
  Deno.writeTextFileSync(fixture.settings.log, line(new Date(0)));
  assertEquals((await fixture.type("check")).code, 1);
  Deno.writeTextFileSync(fixture.settings.log, line(LATER));
  assertEquals((await fixture.type("check")).code, 0);
});

Deno.test("check looks only at the guests that are named, and counts what it found", async () => {
  using fixture = sound();
  Deno.writeTextFileSync(`${fixture.config}/bad.json`, "{");
  assertEquals((await fixture.type("check guest")).code, 0);
  const { code, printed } = await fixture.type("check");
  assertEquals([code, printed.at(-1)], [1, "2 guests, 1 disk: 1 error, 0 warnings"]);
  assertStringIncludes(printed[0]!, "error: bad: ");
});

Deno.test("after an external snapshot, check finds one thing, whether the guest runs on or not", async () => {
  using fixture = sound();
  await fixture.start();
  const overlay = `${fixture.images}/vda.snap`;
  fixture.save(overlay, fixture.vda, {});
  const store = `<backingStore type="file"><source file="${fixture.vda}"/></backingStore>`;
  const xml = fixture.xml().replaceAll(fixture.vda, overlay).replace("</disk>", `${store}</disk>`);
  Deno.writeTextFileSync(xmlOf(fixture), xml);
  const live = `${fixture.settings.liveFolder}/guest.xml`;
  Deno.writeTextFileSync(live, `<domstatus>${xml}</domstatus>`);
  const running = await fixture.type("check");
  assertEquals(running.printed.length, 3);
  assertStringIncludes(running.printed[0]!, "error: guest vda: the guest writes to ");
  Deno.removeSync(live);
  const off = await fixture.type("check");
  assertEquals(off.printed.length, 3);
  assertStringIncludes(off.printed[0]!, "error: guest vda: its XML has an explicit <backingStore>");
});

Deno.test("check of a guest that is gone names what is left of it", async () => {
  using fixture = new Fixture();
  fixture.keys = { "keep-commits": 3 };
  fixture.disks({ vda: true }).define();
  await fixture.start();
  fixture.write(fixture.vda, "session");
  await fixture.stop();
  // virsh undefine guest; rm of its images, and of its configuration, as check says.
  for (const name of fixture.files()) Deno.removeSync(`${fixture.images}/${name}`);
  Deno.removeSync(`${fixture.settings.definedFolder}/guest.xml`);
  const hints = async () =>
    (await fixture.type("check guest")).printed.filter((line) => line.startsWith("hint: if it"));
  assertEquals((await hints()).length, 1);
  Deno.removeSync(fixture.configFile);
  assertEquals((await hints()).filter((line) => !line.includes("guest.session")), []);
});

Deno.test("enable or check tells of an image that stands on the managed one", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  Deno.removeSync(fixture.configFile);
  // A linked clone, another guest's disk.
  fixture.save(`${fixture.images}/clone.img`, fixture.vda, { clone: "yes" });
  const xml = fixture.xml().replaceAll(fixture.vda, `${fixture.images}/clone.img`);
  Deno.writeTextFileSync(`${fixture.settings.definedFolder}/clone.xml`, xml);
  const { printed, said } = await fixture.type("enable guest vda");
  const found = await fixture.type("check");
  await fixture.type("commit guest");
  await fixture.start();
  fixture.write(fixture.vda, "commit of guest");
  await fixture.stop();
  // What the clone stands on is another disk now.
  const reads = "commit of guest" in fixture.read(`${fixture.images}/clone.img`);
  const told = [...printed, ...said, ...found.printed].join("\n");
  assertEquals([reads, told.includes("clone.img")], [true, true], told);
});

Deno.test("check of a guest whose image folder is gone tells what is wrong", async () => {
  using fixture = new Fixture().disks({ vda: false }).define();
  await fixture.start();
  fixture.boot();
  Deno.removeSync(fixture.images, { recursive: true });
  const { freeBytes, fileSystem } = realHost(defaults);
  const { printed, said } = await fixture.type("check", false, {
    wrap: (host) => ({ ...host, freeBytes, fileSystem }),
  });
  assertEquals(said, []);
  assertStringIncludes(printed.join("\n"), "cannot resolve");
});

Deno.test("check takes no other guest of the same image for the one that was renamed", async () => {
  using fixture = new Fixture().disks({ vda: true }).define();
  await fixture.start();
  await fixture.stop("saved");
  Deno.copyFileSync(xmlOf(fixture), xmlOf(fixture, "another"));
  Deno.copyFileSync(fixture.configFile, `${fixture.config}/another.json`);
  Deno.renameSync(xmlOf(fixture), xmlOf(fixture, "renamed"));
  assertStringIncludes(
    (await fixture.type("check guest")).printed.join(),
    'if it is called "renamed" now: mv ',
  );
});
