import { assertEquals } from "@std/assert";
import { clearFlags } from "../lib/host/config_file.ts";
import { parseConfig, withoutFlags } from "../lib/input/config.ts";
import { type Refused, testRefused } from "./refused.ts";
import { Fixture } from "./fixture.ts";

const FILE = "ROOT/config/guest.json";

/** A file with this text is refused with these words after its path. */
function invalid(wrong: string, text: string, what: string | RegExp): Refused {
  return {
    if: `the configuration ${wrong}`,
    arrange: (fixture) => fixture.configureText(text),
    error: typeof what === "string" ? `"${FILE}"${what}` : new RegExp(`^"${FILE}"${what.source}$`),
    hint: `correct ${FILE}, or remove it while the guest is shut off, to leave it alone`,
  };
}

const asRoot = Deno.uid() === 0;
const strange = asRoot ? FILE : "ROOT/config";
const disk = (text: string) => `{"disks": [${text}]}`;

testRefused([
  invalid("is not JSON", '{"disks": [', /: is not JSON: .*JSON.*/),
  invalid("is not JSON where a line ends", '{"disks": [\n{"target": +1}\n]}', /: is not JSON: .*JSON.*/),
  invalid("is empty", "", ': is empty, should be {"disks": [{"target": "vda"}]}'),
  invalid("is white space", " \n", ': is empty, should be {"disks": [{"target": "vda"}]}'),
  invalid("is a list", "[]", ": is [], should be an object {…}"),
  invalid("has no disks", "{}", " at disks: is missing, should be a list […]"),
  invalid("lists no disk", disk(""), " at disks: is [], should be at least one disk"),
  invalid("has a text for a list", '{"disks": "vda"}', ' at disks: is "vda", should be a list […]'),
  invalid("has a text for a disk", disk('"vda"'), ' at disks[0]: is "vda", should be an object {…}'),
  invalid("has a disk without target", disk("{}"), " at disks[0].target: is missing, should be a text"),
  invalid("has a number for a target", disk('{"target": 5}'), " at disks[0].target: is 5, should be a text"),
  invalid(
    "has a path for a target",
    disk('{"target": "/dev/vda"}'),
    ' at disks[0].target: is "/dev/vda", should be a target such as "vda"',
  ),
  invalid(
    "has a text for a flag",
    disk('{"target": "vda"}, {"target": "vdb", "one-shot-commit": "yes"}'),
    ' at disks[1].one-shot-commit: is "yes", should be true or false',
  ),
  invalid(
    "has a slip in a key of a disk",
    disk('{"target": "vda", "one-shot-comit": true}'),
    ' at disks[0]: unknown key "one-shot-comit", did you mean "one-shot-commit"?',
  ),
  invalid(
    "has a slip in the key of the target",
    disk('{"traget": "vda"}'),
    ' at disks[0]: unknown key "traget", did you mean "target"?',
  ),
  invalid("has a slip in its first key", '{"disk": []}', ': unknown key "disk", did you mean "disks"?'),
  {
    if: "the configuration begins with a byte order mark",
    arrange: (fixture) => fixture.configureText(`\ufeff${disk('{"target": "vda"}')}`),
    error: `"${FILE}": begins with a byte order mark, should begin with {`,
    hint: `sed -i '1s/^\\xEF\\xBB\\xBF//' ${FILE}`,
  },
  invalid(
    "has an unknown key",
    '{"disks": [{"target": "vda"}], "colour": "blue"}',
    ': unknown key "colour", known are "$schema", "disks", "firmware"',
  ),
  invalid(
    "lists a target twice",
    disk('{"target": "vda"}, {"target": "vda"}'),
    ' at disks[1].target: "vda" is there twice, should be once',
  ),
  {
    if: "the configuration can be written by others",
    arrange: (fixture) => Deno.chmodSync(fixture.configFile, 0o664),
    error: `"${FILE}" can be written by others than root (mode 664)`,
    hint: `chmod go-w ${FILE}`,
  },
  {
    if: "the configuration's folder can be written by others",
    arrange: (fixture) => Deno.chmodSync(fixture.config, 0o777),
    error: '"ROOT/config" can be written by others than root (mode 777)',
    hint: "chmod go-w ROOT/config",
  },
  {
    if: "the configuration belongs to another",
    arrange: (fixture) => {
      // Only root can give a file away; to anybody else the folder is a stranger's, too.
      if (asRoot) Deno.chownSync(fixture.configFile, 1234, 0);
      else fixture.settings = { ...fixture.settings, configOwner: 1234 };
    },
    error: `"${strange}" belongs to user ${asRoot ? 1234 : Deno.uid()}, it must belong to root`,
    hint: `chown root: ${strange}`,
  },
  {
    if: "the configuration is a link",
    arrange: (fixture) => {
      Deno.renameSync(fixture.configFile, `${fixture.root}/elsewhere.json`);
      Deno.symlinkSync(`${fixture.root}/elsewhere.json`, fixture.configFile);
    },
    error: `"${FILE}" is not a regular file`,
    hint: "put the configuration itself there, not a link",
  },
]);

Deno.test("a valid configuration is read, with and without flags", async () => {
  const text =
    `{"$schema": "./s.json", "disks": [{"target": "vda"}, {"target": "sdb", "one-shot-commit": true}]}`;
  assertEquals((await parseConfig("/x.json", text)).disks, [
    { target: "vda", commit: false, keepCommits: 0, keepSession: false },
    { target: "sdb", commit: true, keepCommits: 0, keepSession: false },
  ]);
});

const file = `{
\t"disks": [  // not JSON, but harmless
    {"one-shot-commit" : true , "target":"vda"},
    { "target": "vdb", "one-shot-commit":true, "one-shot-commit": true }, {"target": "vdc"}
  ], "one-shot-commit": true }\r\n`;

Deno.test("clearing a flag changes nothing but its value", async () => {
  assertEquals(await withoutFlags(file, ["vda"]), file.replace(": true ,", ": false ,"));
  assertEquals(
    await withoutFlags(file, ["vdb"]),
    file.replace('":true, "one-shot-commit": true }', '":false, "one-shot-commit": false }'),
  );
  assertEquals(await withoutFlags(file, ["vdc", "vdd"]), file);
  assertEquals(
    await withoutFlags(await withoutFlags(file, ["vda"]), ["vda"]),
    await withoutFlags(file, ["vda"]),
  );
});

Deno.test("clearing a flag keeps the file's mode and removes no other file", async () => {
  using fixture = new Fixture();
  fixture.configure({ vda: true, vdb: true });
  Deno.chmodSync(fixture.configFile, 0o604);
  await clearFlags(fixture.configFile, ["vda"]);
  assertEquals(fixture.flags(), { vda: false, vdb: true });
  assertEquals(Deno.statSync(fixture.configFile).mode! & 0o7777, 0o604);
  assertEquals(fixture.files(fixture.config), ["guest.json"]);
});

Deno.test("clearing a flag of a configuration that is gone does nothing", async () => {
  using fixture = new Fixture();
  await clearFlags(fixture.configFile, ["vda"]);
  assertEquals(fixture.files(fixture.config), []);
});
