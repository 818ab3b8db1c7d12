import { parse } from "@libs/xml";
import { assert, assertEquals } from "@std/assert";
import { excerptOfDisks } from "../lib/excerpt.ts";
import { diskXml, domainXml } from "./xml.ts";

type Node = Record<string, unknown>;

/** The disks as the parser finds them in a text. */
function disksOf(xml: string): unknown {
  const { domain } = parse(xml, { revive: { trim: false, entities: false }, clean: { comments: true } }) as {
    domain?: { devices?: Node };
  };
  const disks = domain?.devices?.disk ?? [];
  return JSON.parse(JSON.stringify(Array.isArray(disks) ? disks : [disks]));
}

const disk = diskXml("vda", "/images/a 'b' & <c>.img", {
  inside: "<!-- </disk> --><![CDATA[</disk>]]><readonly/>",
});
const decoys = [
  "<!-- <disk type='file'/> --",
  "<!-- <devices><disk/></devices> -->",
  "<metadata><app:devices xmlns:app='urn:app'><disk/><app:disk>></app:disk></app:devices></metadata>",
  "<metadata><![CDATA[<devices><disk>]]></metadata>",
  "<metadata><?app disk?></metadata>",
  `<description a="it's > that" b='so "/>' />`,
  "<title>a &lt;disk&gt; ]]&gt;</title>",
  "<disk/>",
];

Deno.test("the excerpt has the same disks as the whole, whatever else the domain has", () => {
  for (const decoy of decoys.slice(1)) {
    for (const around of [`${decoy}<devices>`, `<devices>${decoy.startsWith("<disk") ? "" : decoy}`]) {
      const xml = `<?xml version='1.0'?>\n${
        domainXml([disk, diskXml("vdb", "/b")]).replace("<devices>", around)
      }`;
      const excerpt = excerptOfDisks(xml);
      assert(excerpt.length < xml.length && !excerpt.includes("emulator"), excerpt);
      assertEquals(disksOf(excerpt), disksOf(xml));
    }
  }
});

Deno.test("what is not well-formed, or declares a document type, is left to the parser", () => {
  const whole = domainXml([disk]);
  const cut = Array.from({ length: whole.length - 1 }, (_, length) => whole.slice(0, length));
  for (
    const xml of [
      ...cut.filter((text) => !/<\/domain>\s*$/.test(text)),
      whole.replace("<devices>", decoys[0]!),
      whole.replace("</devices>", "</device>"),
      whole.replace("<name>", "<name>1 < 2"),
      whole.replace("<name>", "<name a='<'>"),
      `<!DOCTYPE domain [<!ENTITY x "<disk/>">]>${whole}`,
      whole.replace("</domain>", ""),
      `${whole}</domain>`,
    ]
  ) assertEquals(excerptOfDisks(xml), xml);
});

Deno.test("a text that is made to take long takes as long as it is", () => {
  const begun = performance.now();
  for (const hostile of ["<a ", "<a b='", "<!--", "<![CDATA[", "<a/", "</", "<a><"]) {
    excerptOfDisks(hostile.repeat(20_000));
  }
  assert(performance.now() - begun < 5_000);
});
