import { assert, assertEquals } from "@std/assert";
import type { Step } from "../../lib/state/step.ts";
import { checkLine } from "./assert_message.ts";
import { configText, judge } from "./configuration.ts";
import { domainText } from "./domain_xml.ts";
import { several, type Subject } from "./subject.ts";
import { exists, Fixture } from "../../tests/fixture.ts";
import type { Random } from "../../tests/random.ts";
import { snapshot } from "../../tests/tree.ts";
import { diskXml, domainXml } from "../../tests/xml.ts";

/** Stands for the folder of a life's own that images, configuration and all else lie in. */
const ROOT = "{root}";

/** Events of a guest, with all that others than the hook decide. */
interface Life {
  readonly domain: string;
  readonly config: string;
  /** Sources by target. */
  readonly sources: Readonly<Record<string, string>>;
  /** Instead of that of the sources. */
  readonly xml?: string;
  readonly events: readonly (readonly [operation: string, extra: string])[];
}

/** Whole events: nothing is written but in the image folder and the configuration folder, and no start goes without an overlay. */
export const life: Subject = {
  name: "lives",
  share: 0.02,
  mutable: false,
  words: [],
  make: (random) => JSON.stringify(lifeOf(random)),
  check: async (input) => {
    using fixture = new Fixture();
    const life: Life = JSON.parse(input.replaceAll(ROOT, fixture.root));
    const outside = furnish(fixture, life);
    const before = snapshot(outside);
    const bystander = Deno.statSync(`${fixture.images}/bystander.img`);
    const rooms = fixture.files(fixture.root);
    let taken = true;
    for (const [operation, extra] of life.events) {
      const xml = life.xml ??
        domainXml(Object.entries(life.sources).map(([target, file]) => diskXml(target, file)));
      const valid = judge(life.config);
      const { code, said, log, merge } = await fixture.event(operation, extra, {
        domain: life.domain,
        xml,
        perform: (inner) => async (step, control) => {
          checkStep(step, fixture);
          await inner(step, control);
        },
      });
      for (const line of [...said, ...log, ...merge?.said ?? [], ...merge?.log ?? []]) checkLine(line);
      if (operation === "release" || operation === "started" && taken) {
        assertEquals(code, 0, `${operation} fails`);
      }
      if (operation === "prepare") {
        if (isHostile(life.domain)) assertEquals(code, 1, "a name that is no file's name is refused");
        else if (exists(configOf(fixture, life)) && valid === undefined) {
          assertEquals(code, 1, "a file that is not valid keeps the guest from starting");
        } else if (code === 0 && life.xml === undefined && exists(configOf(fixture, life))) {
          for (const { target } of valid!.disks) {
            const image = Deno.realPathSync(life.sources[target]!);
            assert(exists(`${image}.backing_file`), `${target} has an overlay`);
          }
          for (const { target, master } of valid!.seats) {
            // An attribute of XML has no line breaks, and there need not have been a file.
            const backing = fixture.backingOf(Deno.realPathSync(life.sources[target]!.replaceAll("\n", " ")));
            assert(
              backing?.startsWith(`${Deno.realPathSync(master)}.backing_file`),
              `${target} stands on ${backing}, should on a layer of ${master}`,
            );
          }
        }
        taken &&= code === 0;
      }
    }
    assertEquals(snapshot(outside), before, "nothing outside has changed");
    assertEquals(Deno.statSync(`${fixture.images}/bystander.img`), {
      ...bystander,
      atime: Deno.statSync(`${fixture.images}/bystander.img`).atime,
    });
    assertEquals(fixture.files(fixture.root), rooms, "nothing new lies about");
    return taken ? "taken" : "refused";
  },
};

const configOf = (fixture: Fixture, { domain }: Life) => `${fixture.config}/${domain}.json`;

/** A domain's name that is no name of a file in a folder. */
function isHostile(domain: string): boolean {
  return ["", ".", ".."].includes(domain) ||
    [...domain].some((character) => character === "/" || character < " " || character === "\u007f");
}

/** Every path of a step lies in the image folder or the configuration folder. */
function checkStep(step: Step, { images, config }: Fixture): void {
  for (const [key, value] of Object.entries(step)) {
    if (!["from", "to", "path", "overlay", "backing", "layer", "into", "config"].includes(key)) continue;
    const folder = value.slice(0, value.lastIndexOf("/"));
    assert(
      folder === config || (folder === images || folder.startsWith(`${images}/`)) && !folder.includes("/.."),
      `${step.kind} ${value}`,
    );
  }
}

/** Images, somebody else's files inside and outside, and the guest's file, also where its name would lead to. */
function furnish(fixture: Fixture, life: Life): string {
  const outside = `${fixture.root}/outside`;
  Deno.mkdirSync(outside);
  Deno.mkdirSync(`${fixture.images}/folder.img`);
  for (
    const image of [
      "vda.img",
      "vdb.img",
      "a b.img",
      "中.img",
      "new\nline.img",
      "bystander.img",
      "folder.img/in.img",
    ]
  ) {
    fixture.save(`${fixture.images}/${image}`, null, { base: image });
  }
  fixture.save(`${outside}/secret.img`, null, { base: "secret" });
  Deno.symlinkSync(`${outside}/secret.img`, `${fixture.images}/way-out.img`);
  Deno.symlinkSync(outside, `${fixture.images}/out`);
  Deno.symlinkSync(`${fixture.images}/vda.img`, `${outside}/way-in.img`);
  Deno.symlinkSync("loop.img", `${fixture.images}/loop.img`);
  if (life.domain === "a/b") Deno.mkdirSync(`${fixture.config}/a`);
  try {
    Deno.writeTextFileSync(configOf(fixture, life), life.config, { mode: 0o644 });
  } catch (error) {
    // A name that is too long, or has a NUL: a guest without a file.
    if (!(error instanceof Deno.errors.InvalidData || error instanceof TypeError || error instanceof Error)) {
      throw error;
    }
  }
  return outside;
}

const domains = [
  ...[
    "guest",
    "guest",
    "guest",
    "guest",
    "guest",
    "guest",
    "undo",
    "--help",
    "a b",
    "中文",
    "𝄞",
    "'",
    '"',
    "$(id)",
    "`id`",
    "-rf",
    "*",
  ],
  ...[
    "../outside/victim",
    "..",
    ".",
    "",
    "a/b",
    "/etc/x",
    "x\ny",
    "x\0y",
    "x\u007f",
    "a".repeat(200),
    "a".repeat(300),
    "guest.json",
    "...",
  ],
];

const paths = [
  ...[
    "vda.img",
    "vda.img",
    "vda.img",
    "vdb.img",
    "vdb.img",
    "a b.img",
    "中.img",
    "new\nline.img",
    "./vda.img",
    "/vdb.img",
    "folder.img/in.img",
  ],
  ...[
    "../images/vda.img",
    "../outside/secret.img",
    "way-out.img",
    "out/secret.img",
    "../outside/way-in.img",
    "loop.img",
    "folder.img",
  ],
  ...[
    "vda.img.backing_file",
    "none.img",
    "none/none.img",
    "",
    "../config/guest.json",
    `${"a".repeat(250)}.img`,
    "a/".repeat(3000),
    "vda.img\0",
  ],
].map((path) => `${ROOT}/images/${path}`);

const operations = [
  ["started", "-"],
  ["release", "shutdown"],
  ["release", "-"],
  ["release", "failed"],
  ["release", "saved"],
  ["restore", "-"],
  ["prepare", "-"],
  ["stopped", "-"],
] as const;

function lifeOf(random: Random): Life {
  const source = () =>
    random.chance(0.05) ? random.one(["vda.img", "/etc/passwd", "/", "", "-"]) : random.one(paths);
  const targets = ["vda", "vdb", "sda", "hdc"];
  const disks = targets.slice(0, 1 + random.below(3)).map((target) =>
    random.chance(0.3)
      ? { target, master: random.one(paths) }
      : { target, "one-shot-commit": random.chance(0.5) }
  );
  return {
    domain: random.one(domains),
    config: random.chance(0.6) ? JSON.stringify({ disks: disks.slice(0, 2) }) : configText(random),
    sources: Object.fromEntries(disks.map(({ target }) => [target, source()])),
    ...random.chance(0.2) && { xml: domainText(random) },
    events: [["prepare", "-"], ["started", "-"], ...several(random, 6, () => random.one(operations))],
  };
}
