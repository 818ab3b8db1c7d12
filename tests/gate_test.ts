/** The gate does what the program would, or asks it: in each shell that a system may have as its own. */

import { assertEquals } from "@std/assert";
import { isNoop } from "../lib/hook/filter.ts";
import { gate } from "../lib/hook/gate.ts";
import { eventOf } from "../lib/input/event.ts";
import { formatStart } from "../lib/state/step.ts";
import { snapshot } from "./tree.ts";
import { exists, Fixture } from "./fixture.ts";

const shells = [["dash"], ["bash", "--posix"], ["busybox", "sh"]];
const operations = [
  ...["prepare", "start", "started", "stopped", "release", "migrate", "restore", "reconnect", "attach"],
  ...["shutdown", "PREPARE", "undo", ""],
];

/** A gate whose program only says that it was asked, and what. */
function fixtureWithGate(): Fixture {
  const fixture = new Fixture();
  const gated = `${fixture.root}/program`;
  fixture.settings = { ...fixture.settings, gated };
  const text = `#!/bin/sh\nfor word; do printf '%s\\0' "$word"; done > "${fixture.root}/asked"\nexit 3\n`;
  Deno.writeTextFileSync(gated, text, { mode: 0o755 });
  Deno.writeTextFileSync(`${fixture.root}/gate`, gate(fixture.settings), { mode: 0o755 });
  return fixture;
}

/** Calls the gate. */
function call(fixture: Fixture, [shell, ...options]: readonly string[], args: readonly string[]) {
  const command = [...options, `${fixture.root}/gate`, ...args];
  const { code, stdout, stderr } = new Deno.Command(shell!, { args: command, stdin: "null" }).outputSync();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** The words that it passed on, or undefined if it left. */
function asked(fixture: Fixture, shell: readonly string[], args: readonly string[]): string[] | undefined {
  const { code, stdout, stderr } = call(fixture, shell, args);
  assertEquals([stdout, stderr], ["", ""]);
  const path = `${fixture.root}/asked`;
  const isAsked = exists(path);
  // At reconnect a failure of the program would stop the guest.
  assertEquals(code, isAsked && args[1] !== "reconnect" ? 3 : 0);
  if (!isAsked) return undefined;
  const words = Deno.readTextFileSync(path).split("\0").slice(0, -1);
  Deno.removeSync(path);
  return words;
}

/** What may be at the name of a guest's file. */
const kinds: Readonly<Record<string, (path: string) => void>> = {
  nothing: () => {},
  text: (path) => Deno.writeTextFileSync(path, "fresh\n"),
  folder: (path) => Deno.mkdirSync(path),
  "link to nowhere": (path) => Deno.symlinkSync("/nowhere", path),
  "link to itself": (path) => Deno.symlinkSync(path, path),
};

for (const shell of shells) {
  Deno.test(`in ${shell[0]} the gate leaves for every event and all files that there may be where the program would`, () => {
    using fixture = fixtureWithGate();
    const paths = ["json", "session", "starting"].map((suffix) => `${fixture.config}/guest.${suffix}`);
    const names = Object.keys(kinds);
    for (
      const [config, note, starting] of names.flatMap((a) =>
        names.flatMap((b) => names.map((c) => [a, b, c]))
      )
    ) {
      // Two that are odd at once tell nothing new.
      if ([config, note, starting].filter((kind) => !["nothing", "text"].includes(kind!)).length > 1) {
        continue;
      }
      for (const [index, kind] of [config, note, starting].entries()) kinds[kind!]!(paths[index]!);
      for (const operation of operations) {
        const args = ["guest", operation, "begin", "-"];
        const nothing = isNoop(eventOf(args)!, fixture.settings);
        const ends = ["started", "reconnect"].includes(operation) && starting === "text";
        const words = asked(fixture, shell, args);
        const which = `${operation}: ${config}, ${note}, ${starting}`;
        assertEquals(words, nothing || ends ? undefined : args, which);
        assertEquals(exists(paths[2]!), starting !== "nothing" && !ends, which);
        if (ends) kinds[starting]!(paths[2]!);
      }
      for (const path of paths.filter(exists)) Deno.removeSync(path);
    }
  });

  Deno.test(`in ${shell[0]} the gate asks for a guest with seats where the program would`, () => {
    using fixture = fixtureWithGate();
    for (const kind of Object.keys(kinds)) {
      const seats = `${fixture.config}/guest.seats`;
      kinds[kind]!(seats);
      for (const operation of operations) {
        const args = ["guest", operation, "begin", "-"];
        const nothing = isNoop(eventOf(args)!, fixture.settings);
        assertEquals(asked(fixture, shell, args), nothing ? undefined : args, `${operation}: ${kind}`);
      }
      if (exists(seats)) Deno.removeSync(seats);
    }
  });

  Deno.test(`in ${shell[0]} the gate ends a start only by a word that stands alone`, async () => {
    const by = { host: "here", at: new Date(), booted: new Date() };
    const words = ["fresh", "resume", "migrate", "refused"] as const;
    const alone = words.flatMap((word) => [formatStart({ word }), formatStart({ word, by })]);
    const more = [
      ...["", "\n", "fresh", "fresh\n\n", "fresh\nforget\n", "fresh\nforget", "fresh more\n"],
      formatStart({ word: "fresh", more: ["update"], by }),
      ...["FRESH\n", "../x\n", "*\n"],
    ];
    for (const operation of ["started", "reconnect"]) {
      for (const text of [...alone, ...more]) {
        using fixture = fixtureWithGate();
        const path = `${fixture.config}/guest.starting`;
        Deno.writeTextFileSync(path, text);
        const args = ["guest", operation, "begin", "-"];
        const words = asked(fixture, shell, args);
        assertEquals(words, alone.includes(text) ? undefined : args, JSON.stringify(text));
        if (words !== undefined) continue;
        const after = snapshot(fixture.config);
        Deno.writeTextFileSync(path, text);
        assertEquals((await fixture.event(operation, "-")).code, 0);
        assertEquals(snapshot(fixture.config), after);
      }
    }
  });

  Deno.test(`in ${shell[0]} the gate lets the program judge names that are no ordinary ones, and passes them on`, () => {
    using fixture = fixtureWithGate();
    const odd = [
      ...[
        "",
        " ",
        "a b",
        "a'b",
        'a"b',
        "a\\",
        "-x",
        "--",
        "a\nb",
        "a\n",
        "\n",
        ".",
        "..",
        "a/b",
        "/etc",
        ".a",
      ],
      ...["*", "[a]"],
      ...["a;b", "$(touch x)", "`x`", "~", "#", "中文", "é", "\u007f", "a\tb", "!"],
      "a".repeat(250),
    ];
    for (const name of odd) {
      for (const operation of ["prepare", "release", "started", "reconnect", "migrate", "restore"]) {
        const args = [name, operation, "begin", "-"];
        assertEquals(asked(fixture, shell, args), args);
      }
      assertEquals(asked(fixture, shell, [name, "attach", "begin", "-"]), undefined);
    }
    for (const name of ["a", "Win10", "0", "a.b-c_d+e@f", "a..b"]) {
      assertEquals(asked(fixture, shell, [name, "prepare", "begin", "-"]), undefined);
    }
  });

  Deno.test(`in ${shell[0]} the gate asks at the end of a guest with a session that was paused`, () => {
    const comment = "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE.\n-->\n";
    const statuses = [
      undefined,
      "",
      "no XML",
      `${comment}<domstatus state='running' reason='migrated' pid='1'>\n<domain/>\n</domstatus>\n`,
      `${comment}<domstatus state='paused' reason='user' pid='1'>\n<domain/>\n</domstatus>\n`,
      `${comment}<domstatus state='paused' reason='migration' pid='1'>\n  <job type='none' async='migration in'/>\n`,
      "<domstatus state='paused' reason='migration' pid='1'>",
      "<domstatus state='running' reason='post-copy failed' pid='1'>\n",
      `<x state='paused' />\n<domstatus state='shutdown' reason='user' pid='1'>\n <x state='paused' />\n`,
    ];
    for (const status of statuses) {
      for (
        const hasNote of [false, true].flatMap((hasNote) =>
          ["stopped", "reconnect"].map((operation) => [hasNote, operation] as const)
        )
      ) {
        using fixture = fixtureWithGate();
        if (status !== undefined) Deno.writeTextFileSync(`${fixture.settings.liveFolder}/guest.xml`, status);
        if (hasNote) Deno.writeTextFileSync(`${fixture.config}/guest.session`, "[]");
        const args = ["guest", "stopped", "end", "-"];
        const isNothing = isNoop(eventOf(args)!, fixture.settings);
        assertEquals(
          isNothing,
          !hasNote || !/<domstatus state='(?:paused|running' reason='post-copy)/.test(status ?? ""),
          status,
        );
        assertEquals(asked(fixture, shell, args), isNothing ? undefined : args, status);
      }
    }
  });

  Deno.test(`in ${shell[0]} the gate passes on what is no event`, () => {
    using fixture = fixtureWithGate();
    const lines = [
      [],
      ["--version"],
      ["status", "guest"],
      ["guest", "prepare", "begin"],
      ["guest", "prepare", "begin", "-", "-"],
      ["guest", "start", "begin", "--dry-run"],
      ["--dry-run", "guest", "start", "begin", "-"],
      ["guest", "start", "beginn", "-"],
      ["guest", "start", "begin:-", "-"],
      ["guest", "start", "", "-"],
      ["guest", "start", "*", ""],
    ];
    for (const args of lines) assertEquals(asked(fixture, shell, args), args);
    assertEquals(asked(fixture, shell, ["guest", "start", "-", ""]), undefined);
  });

  Deno.test(`in ${shell[0]} the gate asks the program where it can't look, or can't remove`, () => {
    using fixture = fixtureWithGate();
    const prepare = ["guest", "prepare", "begin", "-"];
    Deno.renameSync(fixture.config, `${fixture.config}.old`);
    assertEquals(asked(fixture, shell, prepare), prepare);
    Deno.writeTextFileSync(fixture.config, "");
    assertEquals(asked(fixture, shell, prepare), prepare);
    Deno.removeSync(fixture.config);
    Deno.renameSync(`${fixture.config}.old`, fixture.config);
    assertEquals(asked(fixture, shell, prepare), undefined);

    // A name that is too long can't be looked for either.
    const long = ["a".repeat(248), "prepare", "begin", "-"];
    assertEquals(asked(fixture, shell, long), long);

    Deno.writeTextFileSync(`${fixture.config}/guest.starting`, "fresh\n");
    const started = ["guest", "started", "begin", "-"];
    Deno.writeTextFileSync(`${fixture.root}/rm`, "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    const path = Deno.env.get("PATH")!;
    try {
      Deno.env.set("PATH", `${fixture.root}:${path}`);
      assertEquals(asked(fixture, shell, started), started);
    } finally {
      Deno.env.set("PATH", path);
    }
  });

  Deno.test(`in ${shell[0]} the gate calls the first of its programs that is there`, () => {
    using fixture = fixtureWithGate();
    const { gated: program } = fixture.settings;
    for (const places of [{ gated: "/nowhere/autorevert", packaged: program }, { packaged: "/bin/false" }]) {
      Deno.writeTextFileSync(`${fixture.root}/gate`, gate({ ...fixture.settings, ...places }));
      assertEquals(asked(fixture, shell, ["--version"]), ["--version"]);
    }
  });

  Deno.test(`in ${shell[0]} a gate whose program was removed leaves, but for the start of a guest that needs it`, () => {
    using fixture = fixtureWithGate();
    const { gated: program } = fixture.settings;
    Deno.removeSync(program);
    for (const operation of operations) {
      assertEquals(asked(fixture, shell, ["guest", operation, "begin", "-"]), undefined);
    }
    assertEquals(asked(fixture, shell, ["--version"]), undefined);

    const config = `${fixture.config}/guest.json`;
    for (
      const [file, hint] of [
        [
          config,
          `install autorevert again; to start the guest on the disks themselves: mv '${config}' '${config}.off'`,
        ],
        [fixture.note, "install autorevert again"],
      ] as const
    ) {
      kinds.text!(file);
      for (const operation of operations.filter((operation) => operation !== "prepare")) {
        assertEquals(asked(fixture, shell, ["guest", operation, "begin", "-"]), undefined);
      }
      const { code, stderr } = call(fixture, shell, ["guest", "prepare", "begin", "-"]);
      assertEquals([code, stderr], [
        1,
        `error: disks of this guest need autorevert, as ${file} says, and there is neither ${program} nor ${fixture.settings.packaged}\nhint: ${hint}\n`,
      ]);
    }

    // With its folder, too: a package takes that away where it is empty.
    Deno.removeSync(fixture.config, { recursive: true });
    assertEquals(asked(fixture, shell, ["guest", "prepare", "begin", "-"]), undefined);
  });

  Deno.test(`in ${shell[0]} a copy of the gate in the program's place doesn't call itself for ever`, () => {
    using fixture = fixtureWithGate();
    const { gated: program } = fixture.settings;
    Deno.copyFileSync(`${fixture.root}/gate`, program);
    kinds.text!(`${fixture.config}/guest.json`);
    const { code, stderr } = call(fixture, shell, ["guest", "prepare", "begin", "-"]);
    assertEquals([code, stderr], [
      1,
      `error: ${program} is a copy of the hook, where the program should be\nhint: install autorevert again\n`,
    ]);
    assertEquals(call(fixture, shell, ["guest", "reconnect", "begin", "-"]).code, 0);
  });

  Deno.test(`in ${shell[0]} a program that doesn't run stops no running guest`, () => {
    using fixture = fixtureWithGate();
    kinds.text!(fixture.note);
    Deno.writeTextFileSync(`${fixture.config}/guest.starting`, "");
    Deno.chmodSync(fixture.settings.gated, 0o644);
    const code = (operation: string) => call(fixture, shell, ["guest", operation, "begin", "-"]).code;
    assertEquals([code("reconnect"), code("prepare")], [0, 126]);
  });
}
