import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { checkDomainName, type Operation, parseInvocation, Usage } from "../lib/invocation.ts";
import { Trouble } from "../lib/voice.ts";
import { checkSaid } from "./refused.ts";
import { snapshot } from "./tree.ts";
import { World } from "./world.ts";

const operations: readonly (readonly [given: string, operation: Operation])[] = [
  ["prepare", "prepare"],
  ["release", "release"],
  ["started", "started"],
  ["restore", "restore"],
  ["migrate", "migrate"],
  ["start", "idle"],
  ["stopped", "idle"],
  ["reconnect", "idle"],
  ["attach", "idle"],
  ["new-in-libvirt", "unknown"],
  ["constructor", "unknown"],
  ["", "unknown"],
];

Deno.test("libvirt's four arguments are an event", async () => {
  for (const [given, operation] of operations) {
    assertEquals(await parseInvocation(["guest", given, "begin", "saved"]), {
      kind: "event",
      event: { domain: "guest", operation, given, extra: "saved" },
      dryRun: false,
    });
  }
});

Deno.test("a guest may be named like an option", async () => {
  for (const domain of ["--version", "--help", "--dry-run", "-x"]) {
    const invocation = await parseInvocation([domain, "prepare", "begin", "-"]);
    assertEquals(invocation.kind === "event" && [invocation.event.domain, invocation.dryRun], [
      domain,
      false,
    ]);
  }
});

Deno.test("a dry run is an event, too", async () => {
  const event = { domain: "guest", operation: "release", given: "release", extra: "shutdown" };
  const args = ["guest", "release", "end", "shutdown"];
  for (const at of [0, 4]) {
    assertEquals(await parseInvocation(args.toSpliced(at, 0, "--dry-run")), {
      kind: "event",
      event,
      dryRun: true,
    });
  }
});

Deno.test("version and help are given", async () => {
  assertEquals(await parseInvocation(["--version"]), { kind: "version" });
  assertEquals(await parseInvocation(["--help"]), { kind: "help" });
});

const wrong: readonly (readonly [args: string[], message: string])[] = [
  [[], "no command"],
  [["undo", "guest", "--dry-run"], '--dry-run goes with an event, not with "undo"'],
  [["keep", "guest", "--yes"], '--yes goes with "undo", not with "keep"'],
  [["status"], 'unknown command "status", there are "undo", "keep", "merge"'],
  [["mrege", "guest"], 'unknown command "mrege", did you mean "merge"?'],
  [["guest", "prepare", "begin"], "3 arguments, should be 4: DOMAIN OPERATION SUB-OPERATION EXTRA"],
  [["a", "b", "c", "d", "e"], "5 arguments, should be 4: DOMAIN OPERATION SUB-OPERATION EXTRA"],
  [
    ["guest", "prepare", "begin", "--dry-run"],
    "3 arguments, should be 4: DOMAIN OPERATION SUB-OPERATION EXTRA",
  ],
  [["--dry-rum"], 'unknown option "--dry-rum", did you mean "--dry-run"?'],
  [["--frobnicate"], 'unknown option "--frobnicate"'],
  [["-q"], 'unknown option "-q"'],
];

for (const [args, message] of wrong) {
  Deno.test(`the command line ${JSON.stringify(args)} is wrong`, async () => {
    assertEquals((await assertRejects(() => parseInvocation(args), Usage)).message, message);
  });
}

Deno.test("a domain's name that is a file's name is taken", () => {
  for (const name of ["guest", "a b", "...", ".hidden", "-rf", "中文", "a.json", "x".repeat(200)]) {
    checkDomainName(name);
  }
});

const hostile = ["", ".", "..", "../etc/passwd", "a/b", "a\nb", "a\0b", "a\x7fb", "\t"];

Deno.test("a domain's name that leads elsewhere or forges a line is refused, by any event that uses it", async () => {
  using world = new World();
  world.disks({ vda: false });
  const before = snapshot(world.root);
  for (const domain of hostile) {
    assertThrows(() => checkDomainName(domain), Trouble);
    for (
      const [operation, code] of [["prepare", 1], ["restore", 1], ["release", 0], ["unknown", 0]] as const
    ) {
      const result = await world.event(operation, "-", { domain });
      assertEquals(result.code, code);
      assertEquals(result.said.length, 2);
      assertEquals(result.said[1], "hint: rename it: virsh domrename OLD NEW");
    }
  }
  assertEquals(snapshot(world.root), before);
});

Deno.test("a domain named .. is told so", async () => {
  using world = new World();
  const { said } = await world.event("prepare", "-", { domain: ".." });
  checkSaid(
    said.map((line) => line.replace("error: ..:", "error: guest:")),
    "the domain is named \"..\", which can't be a file's name",
    "rename it: virsh domrename OLD NEW",
  );
});

Deno.test("an operation that nobody knows is logged, and nothing else", async () => {
  using world = new World();
  world.disks({ vda: false });
  const before = snapshot(world.root);
  const { code, log, said } = await world.event("new-in-libvirt");
  assertEquals([code, said], [0, []]);
  assertEquals(log, ['guest: unknown operation "new-in-libvirt": nothing to do']);
  assertEquals(snapshot(world.root), before);
});

Deno.test("events that are none of our business do nothing, even of a guest with a session", async () => {
  using world = new World();
  world.disks({ vda: true });
  await world.start();
  const before = snapshot(world.root);
  for (const operation of ["start", "stopped", "reconnect", "attach"]) {
    const { code, log, said } = await world.event(operation, "-", { xml: "no XML" });
    assertEquals([code, log, said], [0, [], []]);
  }
  assertEquals(snapshot(world.root), before);
});

Deno.test("a guest without a configuration is left alone, and leaves nothing", async () => {
  using world = new World();
  const before = snapshot(world.root);
  for (const operation of ["restore", "migrate", "prepare", "started", "release"]) {
    assertEquals((await world.event(operation, "shutdown", { xml: "no XML" })).code, 0);
  }
  assertEquals(snapshot(world.root), before);
});
