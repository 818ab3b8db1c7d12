/** The completion scripts, in the shells that they are for. */

import { assert, assertEquals } from "@std/assert";
import { commandSpecs } from "../lib/command/commands.ts";
import { completion } from "../lib/command/completion.ts";
import { verbs } from "../lib/input/event.ts";
import { Fixture } from "./fixture.ts";

/** A host with these guests: configured, and only defined. */
function fixtureOf(): Fixture {
  const fixture = new Fixture().disks({ vda: false });
  for (const domain of ["guest", "win 10"]) {
    fixture.define(domain);
    Deno.copyFileSync(
      fixture.configFile,
      `${fixture.config}/${domain}.json`.replace("guest.json", "green.json"),
    );
  }
  fixture.define("other");
  return fixture;
}

/** What a shell offers for the last of these words. */
async function offered(shell: keyof typeof ask, words: readonly string[]): Promise<string[]> {
  using fixture = fixtureOf();
  const script = `${fixture.root}/completion`;
  Deno.writeTextFileSync(script, completion(shell, fixture.settings));
  const { code, stdout, stderr } = await new Deno.Command(shell, {
    args: [
      ...shell === "zsh" ? ["-f"] : shell === "fish" ? ["--no-config"] : ["--norc"],
      "-c",
      ask[shell](script, words),
    ],
    env: { HOME: fixture.root, XDG_DATA_HOME: fixture.root, XDG_CONFIG_HOME: fixture.root },
  }).output();
  assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  const lines = new TextDecoder().decode(stdout).split("\n").map((line) => line.split("\t")[0]!);
  return lines.filter(Boolean).sort();
}

const quoted = (words: readonly string[]) => words.map((word) => `'${word}'`).join(" ");

const ask = {
  bash: (script: string, words: readonly string[]) =>
    `source ${script}; COMP_WORDS=(autorevert ${
      quoted(words)
    }); COMP_CWORD=${words.length}; _autorevert; printf '%s\\n' "\${COMPREPLY[@]}"`,
  fish: (script: string, words: readonly string[]) =>
    `source ${script}; complete -C 'autorevert ${words.join(" ")}'`,
  // zsh's own completion needs a terminal; what is offered is what is handed to compadd.
  zsh: (script: string, words: readonly string[]) =>
    `compdef() {}
     compadd() { if [ "$1" = -a ]; then print -l -- "\${(P@)2}"; else shift; print -l -- "$@"; fi }
     _describe() { print -l -- "\${(@)\${(P@)2}%%:*}"; }
     source ${script}; words=(autorevert ${quoted(words)}); CURRENT=${words.length + 1}; _autorevert`,
} as const;

for (const shell of ["bash", "fish", "zsh"] as const) {
  const beginning = (list: readonly string[], word: string) =>
    shell === "zsh" ? list : list.filter((one) => one.startsWith(word));

  Deno.test(`${shell} completes commands`, async () => {
    const commands = await offered(shell, [""]);
    for (const verb of verbs) assert(commands.includes(verb), `${verb}: ${commands}`);
    assert(beginning(await offered(shell, ["st"]), "st").includes("status"));
  });

  Deno.test(`${shell} completes configured guests, for enable all, and in quotes what needs them`, async () => {
    const space = shell === "bash" ? "win\\ 10" : "win 10";
    const guests = (list: string[]) => list.filter((word) => !word.startsWith("-"));
    assertEquals(guests(await offered(shell, ["undo", ""])), ["green", "guest", space]);
    assertEquals(guests(await offered(shell, ["enable", ""])), ["guest", "other", space]);
  });

  Deno.test(`${shell} completes a guest's disks after the guest, and no second guest`, async () => {
    const words = async (...words: string[]) =>
      (await offered(shell, words)).filter((word) => !word.startsWith("-"));
    assertEquals(await words("commit", "green", ""), ["vda"]);
    assertEquals(await words("undo", "--yes", "green", "vd"), ["vda"]);
    assertEquals(await words("enable", "other", ""), ["vda"]);
    assertEquals(await words("merge", "green", ""), []);
    assert((await words("status", "green", "")).includes("guest"));
  });

  Deno.test(`${shell} takes the value of an option for no guest`, async () => {
    const words = async (...words: string[]) =>
      (await offered(shell, words)).filter((word) => !word.startsWith("-"));
    assert((await words("enable", "--keep-commits", "2", "")).includes("other"));
    assertEquals(await words("enable", "--keep-commits", "2", "other", ""), ["vda"]);
    assertEquals(await words("enable", "other", "vda", "--keep-commits", ""), []);
  });

  Deno.test(`${shell} completes options and fixed words`, async () => {
    for (const verb of ["undo", "recover", "log"] as const) {
      const options = await offered(shell, [verb, "--"]);
      for (const option of Object.keys(commandSpecs[verb].options)) {
        assert(options.includes(`--${option}`), `${verb} ${option}: ${options}`);
      }
    }
    const shells = await offered(shell, ["completion", ""]);
    for (const word of ["bash", "zsh", "fish"]) assert(shells.includes(word), `${shells}`);
  });
}
