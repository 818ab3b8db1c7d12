/** The manual page tells of everything that there is. */

import { assert, assertEquals } from "@std/assert";
import { commandSpecs } from "../lib/command/commands.ts";
import { verbs } from "../lib/input/event.ts";
import { schema } from "../lib/input/config_schema.ts";
import { toJSONSchema } from "zod/mini";

const page = new URL("../man/autorevert.8", import.meta.url).pathname;

async function mandoc(...args: string[]): Promise<string> {
  const { stdout, stderr } = await new Deno.Command("mandoc", { args: [...args, page] }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

Deno.test("the manual page has no mistakes", async () => {
  assertEquals(await mandoc("-T", "lint", "-W", "warning"), "");
});

Deno.test("the manual page tells of every command, option and key of the configuration", async () => {
  const text = (await mandoc("-T", "utf8", "-O", "width=1000")).replaceAll(/.[\b]/g, "");
  for (const verb of verbs) {
    assert(text.includes(`autorevert ${verb}`), verb);
    for (const option of Object.keys(commandSpecs[verb].options)) assert(text.includes(`-${option}`), option);
  }
  const { items } = toJSONSchema(schema, { io: "input" }).properties!.disks as {
    items: { properties: object };
  };
  for (const key of Object.keys(items.properties)) assert(text.includes(`"${key}"`), key);
});
