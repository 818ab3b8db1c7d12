import { assertEquals } from "@std/assert";
import { performer } from "../lib/host/perform.ts";
import type { QemuImg } from "../lib/host/qemu_img.ts";
import type { Step } from "../lib/state/step.ts";

const folder = Deno.makeTempDirSync();
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
const overlay = `${folder}/overlay`;

const steps: readonly (readonly [step: Step, call: readonly unknown[]])[] = [
  [{ kind: "create", overlay, backing: "/b" }, ["create", overlay, "/b"]],
  [{ kind: "merge", layer: "/a", into: "/b" }, ["commit", "/a", "/b"]],
  [{ kind: "repair", path: "/a", what: "leaks" }, ["repair", "/a", "leaks"]],
  [{ kind: "background", domain: "guest" }, ["background", "guest"]],
];

for (const [step, call] of steps) {
  Deno.test(`the step ${step.kind} is done by ${call[0]}`, async () => {
    const calls: unknown[][] = [];
    const program = new Proxy({}, {
      get: (_, name) => (...args: unknown[]) =>
        Promise.resolve(void calls.push([name, ...args.filter(Boolean)])),
    });
    const background = (domain: string) => void calls.push(["background", domain]);
    const stamp = () => ({ host: "host", at: new Date(), booted: new Date() });
    await performer(program as QemuImg, background, stamp)(step);
    assertEquals(calls, [[...call]]);
  });
}

Deno.test("a merge of a whole file replaces the other's content and leaves it the same file", async () => {
  const [layer, into] = [`${folder}/layer`, `${folder}/into`];
  Deno.writeTextFileSync(layer, "new");
  Deno.writeTextFileSync(into, "something longer");
  const { ino } = Deno.lstatSync(into);
  const stamp = () => ({ host: "host", at: new Date(), booted: new Date() });
  await performer({} as QemuImg, () => {}, stamp)({ kind: "merge", layer, into, isWhole: true });
  assertEquals([Deno.readTextFileSync(into), Deno.lstatSync(into).ino], ["new", ino]);
});
