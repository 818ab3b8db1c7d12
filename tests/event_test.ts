import { assertEquals, assertThrows } from "@std/assert";
import { UserError } from "../lib/errors.ts";
import { checkDomainName, eventOf, type Operation, verbs } from "../lib/input/event.ts";
import { Fixture } from "./fixture.ts";
import { checkSaid } from "./refused.ts";
import { snapshot } from "./tree.ts";

const operations: readonly (readonly [given: string, operation: Operation])[] = [
  ["prepare", "prepare"],
  ["release", "release"],
  ["started", "started"],
  ["restore", "restore"],
  ["migrate", "migrate"],
  ["start", "start"],
  ["stopped", "stopped"],
  ["reconnect", "reconnect"],
  ["attach", "idle"],
  ["new-in-libvirt", "unknown"],
  ["constructor", "unknown"],
  ["", "unknown"],
];

Deno.test("libvirt's four arguments are an event", () => {
  for (const [given, operation] of operations) {
    assertEquals(eventOf(["guest", given, "begin", "saved"]), {
      domain: "guest",
      operation,
      given,
      extra: "saved",
    });
  }
});

Deno.test("a guest may be named like an option, or like a command", () => {
  for (const domain of ["--version", "--help", "--dry-run", "-x", ...verbs]) {
    assertEquals(eventOf([domain, "prepare", "begin", "-"])?.domain, domain);
    assertEquals(eventOf([domain, "release", "end", "saved"])?.domain, domain);
  }
});

Deno.test("what an administrator types is no event", () => {
  const lines = [[], ["--version"], ["undo", "guest", "vda", "vdb"], ["guest", "prepare", "begin"]];
  for (const line of [...lines, ["guest", "prepare", "begin", "--dry-run"]]) {
    assertEquals(eventOf(line), undefined);
  }
});

Deno.test("a domain's name that is a file's name is taken", () => {
  for (const name of ["guest", "a b", "...", ".hidden", "-rf", "中文", "a.json", "x".repeat(200)]) {
    checkDomainName(name);
  }
});

const hostile = ["", ".", "..", "../etc/passwd", "a/b", "a\nb", "a\0b", "a\x7fb", "\t"];

Deno.test("a domain's name that leads elsewhere or forges a line is refused, by any event that uses it", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const before = snapshot(fixture.root);
  for (const domain of hostile) {
    assertThrows(() => checkDomainName(domain), UserError);
    for (
      const [operation, code] of [["prepare", 1], ["restore", 1], ["release", 0], ["unknown", 0]] as const
    ) {
      const result = await fixture.event(operation, "-", { domain });
      assertEquals(result.code, code);
      assertEquals(result.said.length, 2);
      assertEquals(result.said[1], "hint: rename it: virsh domrename OLD NEW");
    }
  }
  assertEquals(snapshot(fixture.root), before);
});

Deno.test("a domain named .. is told so", async () => {
  using fixture = new Fixture();
  const { said } = await fixture.event("prepare", "-", { domain: ".." });
  checkSaid(
    said.map((line) => line.replace("error: ..:", "error: guest:")),
    "the domain is named \"..\", which can't be a file's name",
    "rename it: virsh domrename OLD NEW",
  );
});

Deno.test("an operation that nobody knows is logged, and nothing else", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const before = snapshot(fixture.root);
  const { code, log, said } = await fixture.event("new-in-libvirt");
  assertEquals([code, said], [0, []]);
  assertEquals(log, ['guest: unknown operation "new-in-libvirt": nothing to do']);
  assertEquals(snapshot(fixture.root), before);
});

Deno.test("events that are none of our business do nothing, even of a guest with a session", async () => {
  using fixture = new Fixture().disks({ vda: true });
  await fixture.start();
  fixture.run();
  const before = snapshot(fixture.root);
  for (const operation of ["start", "stopped", "attach"]) {
    const { code, log, said } = await fixture.event(operation, "-", { xml: "no XML" });
    assertEquals([code, log, said], [0, [], []]);
  }
  assertEquals(snapshot(fixture.root), before);
});

Deno.test("a guest without a configuration is left alone, and leaves nothing", async () => {
  using fixture = new Fixture();
  const before = snapshot(fixture.root);
  for (const operation of ["restore", "migrate", "prepare", "started", "release"]) {
    assertEquals((await fixture.event(operation, "shutdown", { xml: "no XML" })).code, 0);
  }
  assertEquals(snapshot(fixture.root), before);
});

Deno.test("a guest whose name leaves no room for a suffix is left alone", async () => {
  using fixture = new Fixture();
  for (const operation of ["prepare", "started", "release"]) {
    const { code, said } = await fixture.event(operation, "-", { domain: "x".repeat(251), xml: "no XML" });
    assertEquals([code, said], [0, []]);
  }
});
