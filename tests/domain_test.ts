import { assertEquals } from "@std/assert";
import { parseDisks } from "../lib/domain.ts";
import { type Refused, testRefused } from "./refused.ts";
import { World } from "./world.ts";
import { diskXml, domainXml, type Unusual } from "./xml.ts";

const byHand =
  "the hook is called by libvirt; by hand: virsh dumpxml --inactive DOMAIN | qemu --dry-run DOMAIN prepare begin -";
const unlist = "take its entry out of the configuration";

/** The domain's disk is unusual in one way. */
function unfit(wrong: string, unusual: Unusual, reason: string, hint: string): Refused {
  return {
    if: `the disk ${wrong}`,
    arrange: () => {},
    how: (world) => ({ xml: domainXml([diskXml("vda", world.image("vda"), unusual)]) }),
    error: () => `vda: ${reason}`,
    hint: () => hint,
  };
}

function element(name: string, text: string, unusual: Unusual = { inside: `<${name}/>` }): Refused {
  const hint = `take <${name}/> out of the disk with virsh edit, or its entry out of the configuration`;
  return unfit(`has <${name}/>`, unusual, text, hint);
}

function badXml(wrong: string, xml: (world: World) => string, error: string | RegExp): Refused {
  return {
    if: `the XML ${wrong}`,
    arrange: () => {},
    how: (world) => ({ xml: xml(world) }),
    error: () => error,
    hint: () => byHand,
  };
}

const convert =
  "put the disk into a qcow2 file (qemu-img convert -O qcow2), or take its entry out of the configuration";
const ofType = (type: string, source: string) =>
  unfit(
    `is of type ${type}`,
    { type, source },
    `it is of type "${type}", only type "file" can be frozen`,
    convert,
  );

testRefused([
  ofType("block", '<source dev="/dev/sdb"/>'),
  ofType("network", '<source protocol="nbd" name="x"/>'),
  ofType("volume", '<source pool="default" volume="os"/>'),
  unfit(
    "is raw",
    { format: "raw" },
    'its driver type is "raw", only "qcow2" can be frozen',
    "convert the image (qemu-img convert -O qcow2) and set <driver type='qcow2'/> with virsh edit",
  ),
  unfit("is a CD-ROM", { device: "cdrom" }, "it is a cdrom, only a disk can be frozen", unlist),
  unfit("is a LUN", { device: "lun" }, "it is a lun, only a disk can be frozen", unlist),
  unfit("has no source", { source: "" }, "it has no source file", unlist),
  unfit("is encrypted", { inside: '<encryption format="luks"/>' }, "it is encrypted", unlist),
  unfit(
    "is encrypted in its source",
    { source: '<source file="/x"><encryption format="luks"/></source>' },
    "it is encrypted",
    unlist,
  ),
  unfit(
    "is a slice",
    { source: '<source file="/x"><slices><slice type="storage"/></slices></source>' },
    "it is a slice of a file",
    unlist,
  ),
  unfit(
    "is a file descriptor",
    { source: '<source file="/x" fdgroup="g"/>' },
    "it is passed as a file descriptor",
    unlist,
  ),
  element("readonly", "it is read-only"),
  element("shareable", "it is shareable"),
  element("transient", "it is transient"),
  element(
    "backingStore",
    "its XML has an explicit <backingStore>, which would hide the overlay's backing file",
  ),
  element(
    "backingStore",
    "its XML has an explicit <backingStore>, which would hide the overlay's backing file",
    {
      inside: '<backingStore type="file"><format type="qcow2"/><source file="/base"/></backingStore>',
    },
  ),
  badXml("is no XML", () => "no XML", /^the domain's XML on standard input can't be read: ./),
  badXml("is empty", () => "", "the domain's XML on standard input is empty"),
  badXml("is white space", () => " \n ", "the domain's XML on standard input is empty"),
  badXml(
    "is of another kind",
    () => "<network/>",
    'the domain\'s XML on standard input is no whole <domain>: it ends with "<network/>"',
  ),
  badXml(
    "is cut off between elements",
    (world) => world.xml().replace("</domain>", ""),
    'the domain\'s XML on standard input is no whole <domain>: it ends with "</disk>\\n  </devices>"',
  ),
  badXml(
    "is cut off within an element",
    (world) => world.xml().slice(0, -20),
    /^(the domain's XML on standard input is no whole <domain>: it ends with|the domain's XML on standard input can't be read:) ./,
  ),
  badXml(
    "has 50 MB",
    (world) => world.xml().padEnd(50_000_000),
    "the domain's XML on standard input has 50000000 characters, at most 16777216 are read",
  ),
]);

Deno.test("of 200 disks those that are listed are frozen", async () => {
  using world = new World();
  world.disks({ vda: false });
  const many = Array.from(
    { length: 200 },
    (_, n) => diskXml(`sd${n}`, `/elsewhere/${n}.img`, { format: "raw" }),
  );
  await world.good("prepare", "-", { xml: domainXml([...many, diskXml("vda", world.image("vda"))]) });
  assertEquals(world.state("vda").kind, "session");
});

Deno.test("file names are taken as they stand in the XML", () => {
  const names = [`/a b`, ` /lead`, `/"q"`, `/'q'`, "/a&amp;b", "/<x>", "/a,b:c%20d", "/中文", "/𝄞", "/tail "];
  const disks = parseDisks(domainXml(names.map((name, number) => diskXml(`vd${number}`, name))));
  assertEquals(disks.map(({ file }) => file), names);
});

Deno.test("character references are decoded once", () => {
  const source = (text: string) => ({ source: `<source file='${text}'/>` });
  const file = (text: string) => parseDisks(domainXml([diskXml("vda", "", source(text))]))[0]!.file;
  assertEquals(file("/a&#38;amp;b"), "/a&amp;b");
  assertEquals(file("/&#x4e2d;&#25991;"), "/中文");
  assertEquals(file("/&unknown;&constructor;&#99999999;"), "/&unknown;&constructor;&#99999999;");
});

Deno.test("a domain without disks has none, and one with a lone disk has one", () => {
  assertEquals(parseDisks("<domain><devices/></domain>"), []);
  assertEquals(parseDisks("<domain/>".replace("/>", "></domain>")), []);
  assertEquals(parseDisks(domainXml([diskXml("vda", "/x")])).map(({ target }) => target), ["vda"]);
});

Deno.test("a disk in a comment, in metadata, or in a text is none", () => {
  const disk = diskXml("vda", "/x");
  const text =
    `<domain><!--${disk}--><metadata>${disk}</metadata><title><![CDATA[${disk}]]></title></domain>`;
  assertEquals(parseDisks(text), []);
});

Deno.test("a processing instruction, as any metadata may have, keeps no disk from being read", () => {
  const disk = diskXml("vda", "/x", { inside: "<?editor fold ?><!-- <?no --><![CDATA[ <!-- ]]>" });
  const text =
    `<?xml version="1.0"?><?editor <disk/> ?><domain><devices>${disk}</devices></domain><?end?><!-- -->`;
  assertEquals(parseDisks(text), parseDisks(domainXml([diskXml("vda", "/x")])));
});
