/** Commands on masters and seats. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { DOMAIN, exists, Fixture, LONG_AGO } from "./fixture.ts";
import { poolTest } from "./pool.ts";
import { namesOf } from "../lib/state/paths.ts";
import { checkFails } from "./typed.ts";
import { diskXml, domainXml } from "./xml.ts";

/** The words of a command, with all that it says. */
async function typed(fixture: Fixture, ...words: string[]): Promise<{ code: number; text: string }> {
  const { code, said, printed } = await fixture.type(
    [...words, "--yes"].filter((word) => word !== "--yes" || ["undo", "recover"].includes(words[0]!)),
  );
  return { code, text: [...printed, ...said].join("\n") };
}

poolTest("enable --master lists a seat, after a look at the master", 1, async (pool, fixture) => {
  Deno.removeSync(`${fixture.config}/seat1.json`);
  const wrong = await typed(fixture, "enable", "seat1", "vda", "--master", fixture.image("gone"));
  assertEquals(wrong.code, 1);
  assertStringIncludes(wrong.text, "there is no master");
  const { code, text } = await typed(fixture, "enable", "seat1", "vda", "--master", pool.master, "--preview");
  assertEquals([code, text], [0, `seat1 vda: every start begins with "${pool.master}" from the next one on`]);
  assertEquals(JSON.parse(Deno.readTextFileSync(`${fixture.config}/seat1.json`)), {
    disks: [{ target: "vda", master: pool.master, preview: true }],
  });
  await typed(fixture, "enable", "seat1", "vda", "--no-preview", "--keep-session");
  assertEquals(JSON.parse(Deno.readTextFileSync(`${fixture.config}/seat1.json`)), {
    disks: [{ target: "vda", master: pool.master, preview: false, "keep-session": true }],
  });
  assertStringIncludes(
    (await typed(fixture, "enable", "guest", "vda", "--master", pool.master)).text,
    "can't be a seat, too",
  );
});

poolTest(
  "commits are made by the master's guest, and commands on a seat say so",
  3,
  async (_pool, fixture) => {
    for (const verb of ["commit", "keep", "undo", "merge", "publish"]) {
      const { code, text } = await typed(fixture, verb, "seat1");
      assertEquals(code, 1);
      assertStringIncludes(text, "is committed by its own guest");
      assertStringIncludes(text, `autorevert ${verb === "keep" ? "commit" : verb} guest`);
    }
  },
);

poolTest("the last seat that is taken out lets its master be an ordinary disk", 2, async (pool, fixture) => {
  await pool.start("seat1");
  await pool.commit("second");
  await pool.commit("third");
  const refused = await typed(fixture, "disable", "guest");
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.text, "it is the master of seats: seat1 vda, seat2 vda");
  await typed(fixture, "disable", "seat2");
  pool.live("seat1");
  assertEquals((await typed(fixture, "disable", "seat1")).text.includes("still thrown away"), true);
  assertEquals(pool.layers, [0, 1, 2]);
  assertEquals((await pool.stop("seat1")).merge?.code, 0);
  assertEquals(fixture.files(), ["vda.img"]);
  assertEquals(pool.of(fixture.disk("vda")), "third");
});

Deno.test("a guest that has nothing to do with seats can be disabled, whatever stands on its layers", async () => {
  using fixture = new Fixture();
  fixture.disks({ vda: false });
  fixture.define();
  await fixture.start();
  // A copy of the session, made by an administrator.
  Deno.copyFileSync(fixture.vda, `${fixture.images}/copy.img`);
  await fixture.stop();
  const { code, said, printed } = await fixture.type(["disable", DOMAIN]);
  assertEquals([code, said], [0, []], printed.join("\n"));
});

Deno.test("and beside a configuration that is not valid", async () => {
  using fixture = new Fixture();
  fixture.disks({ vda: false });
  fixture.define();
  Deno.writeTextFileSync(`${fixture.config}/other.json`, '{"disks": {"target": "vda", "master": "/x"}}');
  await fixture.start();
  await fixture.stop();
  const { code, said, printed } = await fixture.type(["disable", DOMAIN]);
  assertEquals([code, said], [0, []], printed.join("\n"));
});

poolTest(
  "what is published by hand is not forgotten when the last seat is taken out and put in again",
  1,
  async (pool, fixture) => {
    fixture.keys = { publish: "by hand", "keep-commits": 5 };
    fixture.configure({ vda: false });
    await pool.commit("second");
    await pool.commit("third");
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "first");
    await pool.stop("seat1");
    await fixture.type(["disable", "seat1"]);
    await fixture.type(["enable", "seat1", "vda", "--master", pool.master]);
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "first");
  },
);

poolTest(
  "a session of a master by hand that is kept afterwards is not published",
  1,
  async (pool, fixture) => {
    fixture.keys = { "keep-session": true, "keep-commits": 5 };
    fixture.configure({ vda: false });
    await pool.start("seat1");
    await pool.stop("seat1");
    await fixture.start();
    fixture.write(pool.master, "version", "second");
    fixture.keys = { "keep-session": true, "keep-commits": 5, publish: "by hand" };
    fixture.configure({ vda: false });
    await fixture.stop();
    const kept = await fixture.command("keep");
    assertEquals(kept.code, 0, kept.said.join());
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "first");
  },
);

poolTest(
  "a master whose seats are gone, and which is not listed any more, is plain after a life",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1");
    Deno.removeSync(`${fixture.config}/seat1.json`);
    await fixture.start();
    await fixture.stop();
    await fixture.type(["disable", DOMAIN]);
    await fixture.start();
    await fixture.stop();
    assertEquals(fixture.files(), ["vda.img"]);
  },
);

poolTest(
  "a saved seat is not made a disk of its own, by a command or an editor",
  3,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    await typed(fixture, "disable", "seat1");
    const { code, text } = await typed(fixture, "enable", "seat1", "vda");
    assertEquals(code, 1);
    assertStringIncludes(text, "a session of it stands on");
    Deno.writeTextFileSync(`${fixture.config}/seat1.json`, JSON.stringify({ disks: [{ target: "vda" }] }));
    await pool.event("seat1", "restore");
    const refused = await pool.event("seat1", "prepare");
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.said[0]!, "is listed as a disk of its own");
    assertEquals(fixture.read(pool.image("seat1"))["by seat1"], "yes");
  },
);

poolTest(
  "status says which version a seat runs on, and check who is in the way of a merge",
  3,
  async (pool, fixture) => {
    await pool.start("seat1");
    pool.live("seat1");
    await pool.commit("second");
    await pool.commit("third");
    const { text } = await typed(fixture, "status");
    assertStringIncludes(text, "running on a session, of vda.img, 2 commits behind");
    assertStringIncludes(text, "clean, a seat of vda.img");
    assertStringIncludes(text, "2 commits waiting to be merged, for the end of seat1; a seat stands on it");
    const json = JSON.parse((await typed(fixture, "status", "--json")).text);
    const disks = json.guests.flatMap(({ disks }: { disks: { seat?: unknown }[] }) => disks);
    assertEquals(disks[1].seat, { master: pool.master, layer: 0, behind: 2 });
    assertEquals([disks[0].stoodOnBy, disks[0].waitsFor], [1, ["seat1"]]);
    const check = await typed(fixture, "check");
    assertStringIncludes(
      check.text,
      '2 commits wait to be merged: the merge waits for the end of those who stand on the layers: "seat1" runs',
    );
  },
);

poolTest("check warns of a master whose guest is not listed", 3, async (_pool, fixture) => {
  Deno.removeSync(fixture.configFile);
  const { text } = await typed(fixture, "check");
  assertStringIncludes(text, 'is vda of "guest", which is not listed');
  assertStringIncludes(text, "autorevert enable guest vda");
});

poolTest("publish moves all seats on, or back", 3, async (pool, fixture) => {
  fixture.keys = { "keep-commits": 3 };
  fixture.configure({ vda: false });
  assertStringIncludes((await typed(fixture, "publish", "guest")).text, "enable guest TARGET --by-hand");
  fixture.keys = { "keep-commits": 3, publish: "by hand" };
  await pool.commit("second");
  await pool.commit("third");
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "first");
  assertEquals((await typed(fixture, "publish", "guest")).code, 0);
  await pool.start("seat2");
  assertEquals([pool.version("seat1"), pool.version("seat2")], ["first", "third"]);
  await pool.stop("seat2");
  const undo = await typed(fixture, "undo", "guest");
  assertStringIncludes(undo.text, "the commit is the published version");
  assert(undo.text.endsWith("autorevert publish --back guest"), undo.text);
  assertEquals((await typed(fixture, "publish", "guest", "--back")).code, 0);
  await pool.start("seat2");
  assertEquals(pool.version("seat2"), "second");
  assertEquals((await typed(fixture, "undo", "guest")).code, 0);
});

poolTest(
  "recover --discard throws a seat's session away, of a guest that is shut off",
  3,
  async (pool, fixture) => {
    await pool.start("seat1");
    assertStringIncludes(
      (await typed(fixture, "recover", "seat1", "--discard")).text,
      "is open in another process",
    );
    await pool.stop("seat1", "saved");
    await pool.commit("second");
    assertEquals((await typed(fixture, "recover", "seat1", "--discard")).code, 0);
    assert(pool.isIdle("seat1"));
    await pool.merge();
    assertEquals(pool.layers, [1]);
  },
);

poolTest("recover --discard throws away only what it has asked for", 3, async (pool, fixture) => {
  pool.configure("seat1", { "keep-session": true });
  await pool.start("seat1");
  fixture.busy.clear(); // a power cut
  const { code, said } = await fixture.type(["recover", "seat1", "--discard"], () => {
    Deno.renameSync(pool.image("seat1"), `${pool.image("seat1")}.autorevert-ended`);
    return true;
  });
  assertEquals([code, said[0]], [
    1,
    "error: seat1: aborted: the sessions changed while waiting for confirmation",
  ]);
  assert(exists(`${pool.image("seat1")}.autorevert-ended`));
});

poolTest(
  "recover --discard ends a seat's session beside an idle disk of the guest's own",
  1,
  async (pool, fixture) => {
    pool.mix("seat1");
    const disks = [{ target: "vda", master: pool.master }, {
      target: "vdb",
      "keep-commits": 1,
      "one-shot-commit": true,
    }];
    Deno.writeTextFileSync(`${fixture.config}/seat1.json`, JSON.stringify({ disks }));
    for (const reason of ["shutdown", "-"]) {
      await pool.start("seat1");
      await pool.stop("seat1", reason);
    }
    const { code, said, printed } = await fixture.type("recover --discard seat1", true, { domain: "seat1" });
    assertEquals([code, said, printed], [0, [], ["seat1 vda: the session is thrown away"]]);
  },
);

poolTest(
  "check says how to end what is set aside of a guest that is no seat any more",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.commit("second");
    await pool.stop("seat1", "-");
    Deno.removeSync(`${fixture.config}/seat1.json`);
    const ended = `${pool.image("seat1")}.autorevert-ended`;
    const { printed } = await fixture.type("check");
    for (
      const line of [
        `hint: "${ended}" belongs to no seat that is configured here: ` +
        `unless another host's guest uses it, or one was saved on it, remove it: rm ${ended}`,
        `hint: if a guest of another host uses it, look there: autorevert status; ` +
        `else, unless a guest was saved on it, remove it: rm ${ended}`,
      ]
    ) assert(printed.includes(line), printed.join("\n"));
    await fixture.type(["enable", "seat1", "vda", "--master", pool.master]);
    assertStringIncludes(
      (await typed(fixture, "check", "guest")).text,
      'what is set aside goes with the next start of "seat1"',
    );
    Deno.removeSync(ended);
    await pool.merge();
    assert(pool.layers.length < 2);
  },
);

poolTest(
  "a seat whose last session is set aside is taken out once that is ended, and its master is merged",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "-");
    await checkFails(fixture, "disable seat1", [
      "error: seat1 vda: its last session is set aside, and keeps what it stands on from being merged",
      "hint: unless the guest was saved on it, throw it away first: autorevert recover --discard seat1 vda",
    ]);
    assertEquals((await fixture.type("recover --discard seat1 vda", true, { domain: "seat1" })).code, 0);
    assertEquals((await fixture.type("disable seat1")).code, 0);
    assertEquals(fixture.files(), ["vda.img"]);
  },
);

poolTest("recover --discard leaves a seat that is being started", 3, async (pool, fixture) => {
  await pool.event("seat1", "prepare");
  await fixture.type(["recover", "seat1", "--discard", "--yes"]);
  assert(exists(pool.image("seat1")));
});

poolTest(
  "the last seat that is taken out lets its master be an ordinary disk, named through a link, too",
  1,
  async (pool, fixture) => {
    Deno.symlinkSync(pool.master, `${fixture.images}/lab`);
    pool.configure("seat1", { master: `${fixture.images}/lab` });
    await pool.start("seat1");
    await pool.stop("seat1");
    assertEquals((await fixture.type(["disable", "seat1"])).said, []);
    assertEquals(fixture.files(), ["lab", "vda.img"]);
  },
);

for (
  const text of [
    '{"disks": [null, {"master": 1}]}',
    '{"disks": {"master": 1}}',
    '["master"',
    '"master"',
    "null",
  ]
) {
  poolTest(
    `a configuration that is not valid keeps no other from being changed: ${text}`,
    2,
    async (pool, fixture) => {
      Deno.writeTextFileSync(
        `${fixture.config}/seat2.json`,
        `${text}${text === "null" ? ' // "master"' : ""}`,
      );
      Deno.removeSync(`${fixture.config}/seat1.json`);
      const enabled = await fixture.type(["enable", "seat1", "vda", "--master", pool.master]);
      assertEquals(enabled.said, []);
      await pool.start("seat1");
      await pool.stop("seat1");
      const status = await fixture.type(["status", "seat1"]);
      assertEquals(status.code, 0, [...status.printed, ...status.said].join("\n"));
      assertEquals((await fixture.type(["disable", "seat1"])).said, []);
    },
  );
}

poolTest("a session that is kept by recover --keep is not published by hand", 1, async (pool, fixture) => {
  fixture.keys = { "keep-commits": 5 };
  await pool.start("seat1");
  await pool.stop("seat1");
  fixture.configure({ vda: false });
  await fixture.start();
  fixture.write(pool.master, "version", "second");
  pool.powerCut();
  fixture.keys = { "keep-commits": 5, publish: "by hand" };
  fixture.configure({ vda: false });
  const { said } = await fixture.type(["recover", DOMAIN, "--keep", "--yes"]);
  assertEquals(said, []);
  await pool.start("seat1");
  assertEquals(pool.version("seat1"), "first");
});

poolTest(
  "a seat that gets another master leaves the old one as disable does",
  1,
  async (pool, fixture) => {
    const lab = `${fixture.images}/lab.img`;
    fixture.save(lab, null, { base: "lab" });
    await pool.start("seat1");
    await pool.stop("seat1");
    const { code, said } = await fixture.type(`enable seat1 vda --master ${lab}`);
    assertEquals([code, said], [0, []]);
    await fixture.start();
    await fixture.stop();
    await fixture.type("merge guest");
    assertEquals(fixture.files(), ["lab.img", "vda.img"]);
  },
);

poolTest("status and recover tell of a seat whose guest was saved to a file", 1, async (pool, fixture) => {
  await pool.start("seat1");
  await pool.stop("seat1", "saved");
  const { printed } = await fixture.type("status seat1");
  assert(!printed.join("\n").includes("unclean shutdown"), printed.join("\n"));
  const told = await fixture.type("recover seat1");
  assertStringIncludes(told.printed.join("\n"), "saved");
  await fixture.type("recover --discard seat1");
  assertStringIncludes(fixture.asked.join("\n"), "saved");
});

poolTest(
  "recover tells of a seat's session that is set aside, and goes with the one that is thrown away",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    // A fresh start beside the saved guest sets that one's session aside, and dies with the host.
    await pool.start("seat1");
    pool.powerCut();
    await fixture.type("recover --discard seat1", false);
    assertStringIncludes(
      fixture.asked.join("\n"),
      "goes with it, on which a guest may have been saved?",
    );
  },
);

poolTest(
  "what is refused of a seat names no command that ends or changes another session",
  1,
  async (pool, fixture) => {
    fixture.keys = { "keep-commits": 2 };
    await pool.commit("good");
    await pool.commit("bad");
    fixture.configure({ vda: false });
    await fixture.type(["undo", DOMAIN, "--yes"]);
    const hint = async (line: string) =>
      (await fixture.type(line)).said.find((line) => line.startsWith("hint: "));
    // After an undo, keep of the master's guest would bring the commit back; a session of it may be running.
    for (const line of ["keep seat1", "recover --keep seat1", "commit seat1"]) {
      assertEquals(
        await hint(line),
        "hint: do what is to be kept in a session of that guest: autorevert commit guest",
      );
    }
    assertEquals(
      await hint("commit --cancel seat1"),
      "hint: no session of a seat is kept, so there is nothing to cancel",
    );
  },
);

poolTest(
  "the session of a disk of its own is kept of a guest that has a seat, too",
  1,
  async (pool, fixture) => {
    const own = pool.mix("seat1");
    await pool.start("seat1");
    fixture.write(own, "work", "own");
    pool.powerCut();
    const { printed, said } = await fixture.type("recover --keep seat1 --yes");
    assertEquals([printed[0], said], ["seat1 vda: is a seat, and stays as it is", []]);
    assertEquals(fixture.read(own)["work"], "own");
    assert(exists(pool.image("seat1")), "the seat's session");
  },
);

poolTest("disable of a seat says that a guest was saved on its session", 1, async (pool, fixture) => {
  await pool.start("seat1");
  await pool.stop("seat1", "saved");
  const { printed } = await fixture.type("disable seat1");
  assertStringIncludes(
    printed[0]!,
    "a guest was saved on its session, or may have been: restore it and shut it down",
  );
});

for (const words of ["check", "check guest"]) {
  poolTest(
    `${words} says of a master that has lost its mark how it gets that, and not that its seats are to stand on nothing`,
    1,
    async (pool, fixture) => {
      await pool.commit("one");
      await pool.start("seat1");
      await pool.stop("seat1", "saved");
      const { master } = namesOf(pool.master);
      Deno.removeSync(master);
      const { printed } = await fixture.type(words);
      assertStringIncludes(printed.join("\n"), "has lost its mark of a master");
      assertStringIncludes(printed.join("\n"), `hint: touch ${master}`);
      assert(!printed.join("\n").includes("rebase"), printed.join("\n"));
    },
  );
}

poolTest(
  "no two seats get one image: enable refuses that, and check tells of it",
  2,
  async (pool, fixture) => {
    const image = pool.image("seat1");
    pool.image = () => image;
    pool.configure("seat2");
    const text = `${image}", the image of a seat, is a disk of "seat1", too`;
    assertStringIncludes((await fixture.type("check seat2")).printed.join("\n"), text);
    Deno.removeSync(`${fixture.config}/seat2.json`);
    const { code, said } = await fixture.type(["enable", "seat2", "vda", "--master", pool.master]);
    assertEquals(code, 1);
    assertStringIncludes(said.join("\n"), text);
  },
);
for (const count of [1, 2]) {
  poolTest(
    `check says how what is set aside ends, of seats that nobody starts any more: ${count}`,
    count,
    async (pool, fixture) => {
      for (const seat of pool.seats) {
        await pool.start(seat);
        await pool.stop(seat, "-");
      }
      await pool.commit("second");
      assertStringIncludes(
        (await typed(fixture, "merge", "guest")).text,
        "guest: what ends that: autorevert check guest",
      );
      const { text } = await typed(fixture, "check", "guest");
      const start = "what is set aside goes with the next start of ";
      if (count === 1) {
        const command = "autorevert recover --discard seat1 vda";
        assertStringIncludes(
          text,
          `hint: ${start}"seat1"; to have it gone now, unless a guest was saved on it: ${command}\n`,
        );
        assertEquals((await fixture.type(command.replace("autorevert ", ""), true)).said, []);
        assertEquals(pool.layers, [1]);
      } else {
        assertStringIncludes(
          text,
          `hint: ${start}"seat1", "seat2"; to have it gone now, unless a guest was saved on it: ` +
            'for guest in seat1 seat2; do autorevert recover --discard "$guest" vda; done\n',
        );
      }
    },
  );
}

for (const where of ["libvirt's", "a file"]) {
  poolTest(
    `check says how the session of a saved seat ends, in ${where}`,
    1,
    async (pool, fixture) => {
      await pool.start("seat1");
      await pool.stop("seat1", "saved");
      await pool.commit("second");
      const save = `${fixture.settings.saveFolder}/seat1.save`;
      if (where === "libvirt's") Deno.writeTextFileSync(save, "");
      const { text } = await typed(fixture, "check", "guest");
      if (where === "libvirt's") {
        assertStringIncludes(text, 'hint: "seat1" comes back with: virsh start seat1\n');
        await pool.restore("seat1");
        Deno.removeSync(save);
        await pool.stop("seat1");
      } else {
        const command = "autorevert recover --discard seat1 vda";
        assertStringIncludes(
          text,
          'hint: "seat1" comes back with virsh restore FILE; where there is no such file any more: ' +
            `${command}\n`,
        );
        assertEquals((await fixture.type(command.replace("autorevert ", ""), true)).said, []);
      }
      assertEquals(pool.layers, [1]);
    },
  );
}

for (const cut of ["power cut", "lost end"]) {
  poolTest(
    `status and recover say of a restored session that died what the next start does with it: ${cut}`,
    1,
    async (pool, fixture) => {
      await pool.start("seat1");
      await pool.stop("seat1", "saved");
      for (const operation of ["restore", "prepare", "started"]) await pool.event("seat1", operation);
      fixture.busy.clear();
      if (cut === "power cut") pool.powerCut();
      const status = await fixture.type("status seat1");
      await fixture.type("recover --discard seat1", false);
      const { shown } = await pool.event("seat1", "prepare", "-", { dry: true });
      assertStringIncludes(shown.join("\n"), "set aside, new session");
      assertStringIncludes(status.printed.join("\n"), "session set aside");
      assertStringIncludes(fixture.asked.join("\n"), "on which a guest was saved to a file");
      const { printed } = await fixture.type("disable seat1");
      assertStringIncludes(printed.join("\n"), "a guest was saved on its session, or may have been");
    },
  );
}

poolTest(
  "a seat is not taken out beside what its guest was saved on: nothing would end that any more",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    await pool.start("seat1");
    pool.live("seat1");
    const refused = async () => {
      const { code, said } = await fixture.type("disable seat1");
      assertEquals([code, said[0]?.includes("its last session is set aside")], [1, true]);
      return said.join("\n");
    };
    assertStringIncludes(await refused(), "hint: shut the guest down first");
    Deno.removeSync(`${fixture.settings.liveFolder}/seat1.xml`);
    await pool.stop("seat1");
    assertStringIncludes(await refused(), "hint: unless the guest was saved on it, throw it away first");
    await pool.restore("seat1");
    await pool.stop("seat1");
    assertEquals((await fixture.type("disable seat1")).code, 0);
    assertEquals(fixture.files(), ["vda.img"]);
  },
);

for (const reason of ["-", "power cut", "power cut and merge"]) {
  poolTest(
    `recover says of a session, after ${reason}, that a guest may have been saved on it`,
    1,
    async (pool, fixture) => {
      await pool.start("seat1");
      await pool.commit("second");
      if (reason === "-") await pool.stop("seat1", "-");
      else pool.powerCut();
      if (reason.endsWith("merge")) await pool.merge();
      const { printed } = await fixture.type("recover seat1");
      await fixture.type("recover --discard seat1", false);
      const where = reason === "-" ? "is set aside" : "lies there";
      assertStringIncludes(
        printed[0]!,
        `a session ${where}, on which a guest may have been saved; to end it now`,
      );
      assertStringIncludes(fixture.asked.join(), ", on which a guest may have been saved, away?");
    },
  );
}

poolTest(
  "what disable says of a session that died is true after the merge that it starts",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.commit("second");
    pool.powerCut();
    const { printed } = await fixture.type("disable seat1");
    const [, command] = /end that session: autorevert (.*?);/.exec(printed.join("\n"))!;
    assertEquals((await fixture.type(`${command} --yes`)).said, []);
    assertEquals(fixture.files().filter((name) => name.startsWith("seat1")), []);
  },
);

poolTest(
  "a seat that was restored paused runs, though its QEMU holds no lock yet",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    for (const operation of ["restore", "prepare", "started"]) await pool.event("seat1", operation);
    const live = `<domstatus state='paused' reason='restored' pid='1'>${pool.xml("seat1")}</domstatus>`;
    Deno.writeTextFileSync(`${fixture.settings.liveFolder}/seat1.xml`, live);
    assertStringIncludes((await fixture.type("status seat1")).printed.join("\n"), "running on a session");
  },
);

poolTest(
  "check finds the name that a seat's guest has now by its image, and no similar one",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    const { definedFolder } = fixture.settings;
    Deno.renameSync(`${definedFolder}/seat1.xml`, `${definedFolder}/pc-east.xml`);
    const other = domainXml([diskXml("vda", fixture.image("seat11"))]);
    Deno.writeTextFileSync(`${definedFolder}/seat11.xml`, other);
    const text = (await fixture.type("check seat1")).printed.join("\n");
    assertStringIncludes(text, 'if it is called "pc-east" now: mv ');
  },
);

for (const from of ["check of the master", "undo of the master", "enable", "a start"]) {
  poolTest(
    `the way out of a seat's session leaves that of another disk of its guest alone: ${from}`,
    1,
    async (pool, fixture) => {
      fixture.keys = { "keep-commits": from === "undo of the master" ? 3 : 0 };
      await pool.commit("one");
      const own = pool.mix("seat1");
      const config = `${fixture.config}/seat1.json`;
      const disks = [{ target: "vda", master: pool.master }, { target: "vdb", "one-shot-commit": true }];
      Deno.writeTextFileSync(config, JSON.stringify({ disks }));
      Deno.utimeSync(config, LONG_AGO, LONG_AGO);
      await pool.start("seat1");
      fixture.write(own, "installed");
      if (from === "check of the master") await pool.commit("two");
      fixture.configure({ vda: false });
      pool.powerCut();
      const type = (line: string) => fixture.type(line);
      if (from === "enable" || from === "a start") await type("disable seat1 vda");
      const told = from === "check of the master"
        ? (await type("check guest")).printed
        : from === "undo of the master"
        ? (await type("undo guest --yes")).said
        : from === "enable"
        ? (await type("enable seat1 vda")).said
        : (await pool.event("seat1", "prepare")).said;
      if (from === "a start") await pool.event("seat1", "release", "failed");
      const [, command] = /autorevert (recover --discard \S+ \S+)/.exec(told.join("\n"))!;
      await fixture.type(command!.replace("GUEST TARGET;", "seat1 vda"), true);
      assertEquals([exists(pool.image("seat1")), fixture.read(own)["installed"]], [false, "yes"]);
    },
  );
}

poolTest(
  "the guest of a master of which a version is published is not taken out: seats of other hosts may begin with that",
  1,
  async (pool, fixture) => {
    fixture.keys = { "keep-commits": 5, publish: "by hand" };
    fixture.configure({ vda: false });
    await pool.commit("one");
    assertEquals((await fixture.type("publish guest")).code, 0);
    await pool.commit("two");
    fixture.configure({ vda: false });
    const config = `${fixture.config}/seat1.json`;
    const text = Deno.readTextFileSync(config);
    Deno.removeSync(config);
    const { code, said } = await fixture.type("disable guest");
    assertEquals(code, 1);
    const [, way] = /: autorevert (enable .*)$/.exec(said.join("\n"))!;
    Deno.writeTextFileSync(config, text);
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "one");
    await pool.stop("seat1");
    Deno.removeSync(config);
    assertEquals((await fixture.type(way!)).said, []);
    assertEquals((await fixture.type("disable guest")).said, []);
    await fixture.type("merge guest");
    assertEquals(fixture.files(), ["vda.img"]);
  },
);

poolTest(
  "a session that stands on the master that a seat had before is told and asked about as such, and its master's merges go on",
  1,
  async (pool, fixture) => {
    const other = fixture.image("other");
    fixture.save(other, null, { version: "other" });
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    await pool.commit("second");
    assertEquals((await fixture.type(["enable", "seat1", "vda", "--master", other])).said, []);
    assertStringIncludes((await typed(fixture, "status", "seat1")).text, "of vda.img, a commit behind");
    assertStringIncludes((await typed(fixture, "recover", "seat1")).text, "seat1 vda: a session lies there");
    fixture.asked.length = 0;
    assertEquals((await fixture.type("recover --discard seat1", true)).said, []);
    assertStringIncludes(fixture.asked.join(), "on which a guest was saved to a file");
    assertEquals([pool.isIdle("seat1"), pool.layers], [true, [1]]);
    pool.configure("seat1", { master: other });
    await pool.start("seat1");
    assertEquals(pool.version("seat1"), "other");
  },
);

poolTest(
  "what is said of a session in whose image's place the domain names another one ends that session alone",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    pool.powerCut();
    await pool.commit("second");
    const left = pool.image("seat1");
    const other = fixture.image("other");
    pool.image = () => other;
    pool.configure("seat1");
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    await pool.commit("third");
    await pool.merge();
    const command = `autorevert recover --discard seat1 ${left}`;
    for (const words of [["check"], ["recover", "seat1"]]) {
      assertStringIncludes((await fixture.type(words)).printed.join("\n"), command);
    }
    fixture.asked.length = 0;
    await fixture.type("recover --discard seat1 vda", false);
    await fixture.type("recover --discard seat1", false);
    assertEquals([fixture.asked.length, fixture.asked.every((one) => one.includes("was saved"))], [2, true]);
    assertEquals((await fixture.type(command.replace("autorevert ", ""), true)).said, []);
    assertEquals([exists(left), exists(other)], [false, true]);
    await pool.restore("seat1");
    assertEquals(pool.version("seat1"), "second");
  },
);

poolTest(
  "a seat that is taken out while it runs finds its session after a save, also where libvirt doesn't tell that it was one",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.commit("second");
    pool.live("seat1");
    const { printed } = await fixture.type("disable seat1");
    const command = "autorevert recover --discard seat1 vda";
    assertEquals(printed, [
      `seat1 vda: is no seat any more; this session is still thrown away when it ends (libvirt before 10.5: then end it with ` +
      `${command}); it needs an image of its own before its next start`,
    ]);
    Deno.removeSync(`${fixture.settings.liveFolder}/seat1.xml`);
    await pool.stop("seat1", "-");
    await pool.restore("seat1");
    assertEquals(pool.version("seat1"), "first");
    await pool.stop("seat1", "-");
    assertStringIncludes(
      (await pool.event("seat1", "prepare")).said.join("\n"),
      "not configured as its seat any more",
    );
    await pool.event("seat1", "release", "failed");
    assertEquals((await fixture.type(command.replace("autorevert ", ""), true)).said, []);
    assertEquals([pool.isIdle("seat1"), pool.layers], [true, [1]]);
  },
);

poolTest(
  "a snapshot of an idle master is brought back once nothing of its seats stands on it",
  1,
  async (pool, fixture) => {
    await fixture.start();
    await fixture.stop();
    await pool.start("seat1");
    await pool.stop("seat1", "saved");
    const snapshot = fixture.image("snapshot");
    fixture.save(snapshot, pool.master, { version: "snapshot" });
    fixture.sources.set("vda", snapshot);
    fixture.define();
    assertStringIncludes(
      (await typed(fixture, "check", "guest")).text,
      "after an external snapshot, bring that back, once the sessions of its seats have ended, also those that are saved or set aside, " +
        `first, with virsh blockcommit, or while the guest is shut off: qemu-img commit -b ${pool.master} SNAPSHOT`,
    );
  },
);

for (const reason of ["saved", "-"]) {
  poolTest(
    `disable of a master says how what its former seats have left on it ends: ${reason}`,
    1,
    async (pool, fixture) => {
      const other = fixture.image("other");
      fixture.save(other, null, { version: "other" });
      await pool.start("seat1");
      await pool.stop("seat1", reason);
      pool.configure("seat1", { master: other });
      const { code, text } = await typed(fixture, "disable", "guest");
      assertEquals(code, 1);
      assertStringIncludes(
        text,
        reason === "saved" ? '"seat1" comes back with virsh restore' : 'the next start of "seat1"',
      );
      const [command] = /recover --discard seat1 vda/.exec(text)!;
      assertEquals((await fixture.type(command!, true)).said, []);
      assertEquals((await typed(fixture, "disable", "guest")).code, 0);
    },
  );
}

poolTest(
  "a session that died with a host of another name is told with that name, and how it ends",
  1,
  async (pool, fixture) => {
    await pool.start("seat1");
    await pool.commit("second");
    const before = fixture.name;
    pool.powerCut();
    fixture.name = "renamed";
    await pool.merge();
    const { text } = await typed(fixture, "check", "guest");
    const command = "recover --discard seat1 vda";
    assertStringIncludes(
      text,
      `unless "seat1" runs or was saved at the host "${before}", end the session: autorevert ${command};`,
    );
    assertEquals((await fixture.type(command, true)).said, []);
    assertEquals(pool.layers, [1]);
  },
);

poolTest(
  "no hint about what is set aside ends the session of the guest's last save beside it",
  1,
  async (pool, fixture) => {
    for (const version of ["second", "third"]) {
      await pool.start("seat1");
      await pool.stop("seat1", "saved");
      await pool.commit(version);
    }
    const { text } = await typed(fixture, "check", "guest");
    assert(!text.includes("recover"), text);
    assertStringIncludes(text, 'once that has ended and the guest has been started again: "seat1"');
    await pool.restore("seat1");
    assertEquals(pool.version("seat1"), "second");
    await pool.stop("seat1");
    await pool.start("seat1");
    await pool.stop("seat1");
    assertEquals(pool.layers, [2]);
  },
);
