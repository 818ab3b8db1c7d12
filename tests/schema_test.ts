import { assert, assertEquals } from "@std/assert";
import { jsonSchema } from "../build/schema.ts";
import { parseConfig, withoutFlags } from "../lib/input/config.ts";
import { schema } from "../lib/input/config_schema.ts";

const root = new URL("../", import.meta.url);
const text = (name: string) => Deno.readTextFileSync(new URL(name, root));

Deno.test("the schema for editors is the one that files are checked with; make schema writes it", () => {
  assertEquals(text("config.schema.json"), jsonSchema());
});

Deno.test("the schema tells editors what each key is for", () => {
  const { properties: { disks, $schema } } = JSON.parse(text("config.schema.json"));
  for (
    const { description } of [
      disks,
      $schema,
      ...Object.values<{ description?: string }>(disks.items.properties),
    ]
  ) {
    assert(description && description.length > 20, description);
  }
});

Deno.test("the example is a valid configuration that names its schema", async () => {
  const example = text("config.example.json");
  assertEquals(JSON.parse(example).$schema, "./config.schema.json");
  assertEquals((await parseConfig("config.example.json", example)).disks, [
    { target: "vda", commit: false, keepCommits: 0, keepSession: false },
  ]);
  assertEquals(schema.safeParse(JSON.parse(example)).success, true);
});

Deno.test("the example's flag can be set and is cleared", async () => {
  const example = text("config.example.json");
  const flagged = example.replace("false", "true");
  assertEquals((await parseConfig("config.example.json", flagged)).disks[0]?.commit, true);
  assertEquals(await withoutFlags(flagged, ["vda"]), example);
});
