/** What an administrator types, and how slips of the finger are met. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { parseLine, Usage } from "../lib/command/arguments.ts";
import { commandSpecs } from "../lib/command/commands.ts";
import { help } from "../lib/command/help.ts";
import { type Event, type Verb, verbs } from "../lib/input/event.ts";

interface Typed {
  readonly verb: Verb;
  readonly domains?: string[];
  readonly targets?: string[];
  readonly word?: string;
  /** With their values, as `option=value`. */
  readonly options?: string[];
}

const commands: readonly (readonly [line: string, what: Typed])[] = [
  ["undo win10", { verb: "undo", domains: ["win10"] }],
  ["undo win10 vda vdb", { verb: "undo", domains: ["win10"], targets: ["vda", "vdb"] }],
  ["undo win10 vda --yes", { verb: "undo", domains: ["win10"], targets: ["vda"], options: ["yes"] }],
  ["--yes undo win10", { verb: "undo", domains: ["win10"], options: ["yes"] }],
  ["undo -y win10", { verb: "undo", domains: ["win10"], options: ["yes"] }],
  ["keep 007", { verb: "keep", domains: ["007"] }],
  ["merge -- --version", { verb: "merge", domains: ["--version"] }],
  ["status", { verb: "status" }],
  ["status a b c --json", { verb: "status", domains: ["a", "b", "c"], options: ["json"] }],
  ["enable win10 vda", { verb: "enable", domains: ["win10"], targets: ["vda"] }],
  ["enable win10", { verb: "enable", domains: ["win10"] }],
  ["enable win10 vda --keep-commits 2", {
    verb: "enable",
    domains: ["win10"],
    targets: ["vda"],
    options: ["keep-commits=2"],
  }],
  ["enable --keep-commits=0 win10 --keep-session vda", {
    verb: "enable",
    domains: ["win10"],
    targets: ["vda"],
    options: ["keep-session", "keep-commits=0"],
  }],
  ["disable win10", { verb: "disable", domains: ["win10"] }],
  ["commit win10 --cancel", { verb: "commit", domains: ["win10"], options: ["cancel"] }],
  ["recover win10 vda --keep", { verb: "recover", domains: ["win10"], targets: ["vda"], options: ["keep"] }],
  ["log -f", { verb: "log", options: ["follow"] }],
  ["log win10 --follow", { verb: "log", domains: ["win10"], options: ["follow"] }],
  ["undo --yes true", { verb: "undo", domains: ["true"], options: ["yes"] }],
  ["undo -y false", { verb: "undo", domains: ["false"], options: ["yes"] }],
  ["undo 1e3 -yy 0x10", { verb: "undo", domains: ["1e3"], targets: ["0x10"], options: ["yes"] }],
  ["undo constructor __proto__", { verb: "undo", domains: ["constructor"], targets: ["__proto__"] }],
  ["merge -- -_", { verb: "merge", domains: ["-_"] }],
  ["merge -- --", { verb: "merge", domains: ["--"] }],
  ["merge -", { verb: "merge", domains: ["-"] }],
  ["completion fish", { verb: "completion", word: "fish" }],
];

for (const [line, { verb, domains = [], targets = [], word, options = [] }] of commands) {
  Deno.test(`the command line "${line}" is a command`, async () => {
    const given = options.map((option) => option.split("=")).map(([name, value = ""]) =>
      [name!, value] as const
    );
    const command = { verb, domains, targets, options: new Map(given), ...word && { word } };
    assertEquals(await parseLine(line.split(" ")), { kind: "command", command });
  });
}

Deno.test("version and help are given, help also of each command", async () => {
  assertEquals(await parseLine(["--version"]), { kind: "version" });
  assertEquals(await parseLine(["help", "undo"]), { kind: "help", of: "undo" });
  for (const line of [["--help"], ["-h"], ["help"]]) {
    assertEquals(await parseLine(line), { kind: "help", of: undefined });
  }
  for (const verb of verbs) {
    assertEquals(await parseLine([verb, "--help"]), { kind: "help", of: verb });
    assertStringIncludes(help(verb), `usage: autorevert ${verb}`);
    for (const option of Object.keys(commandSpecs[verb].options)) {
      assertStringIncludes(help(verb), `--${option} `);
    }
    assertStringIncludes(help(), commandSpecs[verb].summary);
  }
  for (const line of [help(), ...verbs.map((verb) => help(verb))].join("\n").split("\n")) {
    assertEquals(line.length <= 100, true, line);
  }
});

Deno.test("a dry run is one of an event, whatever the guest is called", async () => {
  for (const domain of ["guest", "undo", "status"]) {
    const args = [domain, "release", "end", "shutdown"];
    const event: Event = { domain, operation: "release", given: "release", extra: "shutdown" };
    for (const at of [0, 4]) {
      assertEquals(await parseLine(args.toSpliced(at, 0, "--dry-run")), { kind: "dry run", event });
    }
  }
});

const all = verbs.map((verb) => `"${verb}"`).join(", ");
const wrong: readonly (readonly [line: string, message: string])[] = [
  ["", "no command"],
  ["frobnicate", `unknown command "frobnicate", there are ${all}`],
  ["mrege win10", `unknown command "mrege", did you mean "merge"? There are ${all}`],
  ["stauts", `unknown command "stauts", did you mean "status"? There are ${all}`],
  ["undo", "undo takes DOMAIN [TARGET...], not none"],
  ["merge win10 vda", 'merge takes DOMAIN, not "win10", "vda"'],
  ["enable", "enable takes DOMAIN [TARGET...], not none"],
  ["enable win10 --keep-commits", '--keep-commits is "", should be a whole number from 0 to 12'],
  ["enable win10 --keep-commits vda", '--keep-commits is "vda", should be a whole number from 0 to 12'],
  ["enable win10 --keep-commits -1", '--keep-commits is "-1", should be a whole number from 0 to 12'],
  ["enable win10 --keep-commits=13", '--keep-commits is "13", should be a whole number from 0 to 12'],
  ["enable win10 --keep-comits 2", 'unknown option "--keep-comits", did you mean "--keep-commits"?'],
  [
    "enable win10 --keep-session --no-keep-session",
    "--keep-session and --no-keep-session exclude each other",
  ],
  ["undo win10 --keep-commits 2", '"--keep-commits" goes with "enable", not with "undo"'],
  ["schema win10", 'schema takes no more words, not "win10"'],
  ["completion", 'completion takes one of "bash", "zsh", "fish"'],
  ["completion tcsh", 'completion takes one of "bash", "zsh", "fish", not "tcsh"'],
  ["recover win10 --keep --discard", "--keep and --discard exclude each other"],
  ["undo win10 --dry-run", '"--dry-run" goes with an event, not with "undo"'],
  ["merge win10 --yes", '"--yes" goes with "keep", "undo", "recover", not with "merge"'],
  ["status --jsno", 'unknown option "--jsno", did you mean "--json"?'],
  ["--dry-rum", 'unknown option "--dry-rum", did you mean "--dry-run"?'],
  ["--frobnicate", 'unknown option "--frobnicate"'],
  ["-q", 'unknown option "-q"'],
  ["-_", 'unknown option "-_"'],
  ["--_", 'unknown option "--_"'],
  ["-_ merge win10", 'unknown option "-_"'],
  ["--_=x merge win10", 'unknown option "--_=x"'],
  ["--constructor", 'unknown option "--constructor"'],
  ["--constructor merge win10", 'unknown option "--constructor"'],
  ["--__proto__ merge win10", 'unknown option "--__proto__"'],
  ["--to-string merge", 'unknown option "--to-string"'],
  ["--json.x status", 'unknown option "--json.x"'],
  ["status --json=false", 'unknown option "--json=false"'],
  ["status --json=", 'unknown option "--json="'],
  ["status --no-json", 'unknown option "--no-json"'],
  ["undo win10 -y=1", 'unknown option "-y=1"'],
  ["undo win10 -y1", 'unknown option "-y1"'],
  ["undo win10 -yq", 'unknown option "-q"'],
  ["undo win10 -y-", 'unknown option "-y-"'],
  ["status ---json", 'unknown option "---json"'],
  ["status --JSON", 'unknown option "--JSON"'],
  ["status -5", 'unknown option "-5"'],
  ["--yes", '"--yes" goes with "keep", "undo", "recover", not alone'],
  ["guest prepare begin", "3 arguments, should be 4: DOMAIN OPERATION SUB-OPERATION EXTRA"],
  ["guest release end shutdown -", "5 arguments, should be 4: DOMAIN OPERATION SUB-OPERATION EXTRA"],
  ["guest prepare beginn -", 'the third word is "beginn", should be begin, end or -'],
  ["enabel win10 vda", `unknown command "enabel", did you mean "enable"? There are ${all}`],
  ["enabel win10 vda vdb", `unknown command "enabel", did you mean "enable"? There are ${all}`],
  ["guest prepare begin --dry-run", "3 arguments, should be 4: DOMAIN OPERATION SUB-OPERATION EXTRA"],
];

for (const [line, message] of wrong) {
  Deno.test(`the command line "${line}" is wrong`, async () => {
    const args = line.split(" ").filter(Boolean);
    assertEquals((await assertRejects(() => parseLine(args), Usage)).message, message);
  });
}
