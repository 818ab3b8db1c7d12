import schema from "../../config.schema.json" with { type: "json" };

/** The JSON schema of a configuration file. */
export function schemaText(): string {
  return JSON.stringify(schema, undefined, 2);
}
