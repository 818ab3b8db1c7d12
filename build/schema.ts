/** The JSON schema of a configuration file, for editors: `make schema` writes it to `config.schema.json`. */
import { toJSONSchema } from "zod/mini";
import { schema } from "../lib/input/config_schema.ts";

export function jsonSchema(): string {
  return JSON.stringify(toJSONSchema(schema, { io: "input" }), undefined, 2) + "\n";
}

if (import.meta.main) await Deno.stdout.write(new TextEncoder().encode(jsonSchema()));
