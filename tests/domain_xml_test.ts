import { assertEquals, assertThrows } from "@std/assert";
import { UserError } from "../lib/errors.ts";
import { parseDisks } from "../lib/input/domain_xml.ts";
import { Fixture } from "./fixture.ts";
import { type Refused, testRefused } from "./refused.ts";
import { diskXml, domainXml, type Unusual } from "./xml.ts";

const byHand =
  "the hook is called by libvirt; by hand: virsh dumpxml --inactive DOMAIN | /etc/libvirt/hooks/qemu --dry-run DOMAIN prepare begin -";
const unlist = "take its entry out of the configuration";

/** The domain's disk is unusual in one way. */
function unfit(wrong: string, unusual: Unusual, reason: string, hint: string): Refused {
  return {
    if: `the disk ${wrong}`,
    how: (fixture) => ({ xml: domainXml([diskXml("vda", fixture.vda, unusual)]) }),
    error: `vda: ${reason}`,
    hint,
  };
}

function element(name: string, text: string, unusual: Unusual = { inside: `<${name}/>` }): Refused {
  const hint = `take <${name}/> out of the disk with virsh edit, or its entry out of the configuration`;
  return unfit(`has <${name}/>`, unusual, text, hint);
}

function badXml(wrong: string, xml: (fixture: Fixture) => string, error: string | RegExp): Refused {
  return { if: `the XML ${wrong}`, how: (fixture) => ({ xml: xml(fixture) }), error, hint: byHand };
}

const convert =
  "put the disk into a qcow2 file (qemu-img convert -O qcow2), or take its entry out of the configuration";
const ofType = (type: string, source: string) =>
  unfit(
    `is of type ${type}`,
    { type, source },
    `it is of type "${type}", only type "file" can be managed`,
    convert,
  );

testRefused([
  ofType("block", '<source dev="/dev/sdb"/>'),
  ofType("network", '<source protocol="nbd" name="x"/>'),
  ofType("volume", '<source pool="default" volume="os"/>'),
  unfit(
    "is raw",
    { format: "raw" },
    'its driver type is "raw", only "qcow2" can be managed',
    "convert the image (qemu-img convert -O qcow2) and set <driver type='qcow2'/> with virsh edit",
  ),
  unfit("is a CD-ROM", { device: "cdrom" }, "it is a cdrom, only a disk can be managed", unlist),
  unfit("is a LUN", { device: "lun" }, "it is a lun, only a disk can be managed", unlist),
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
    'the domain\'s XML on standard input is no <domain>: it begins with "<network/>"',
  ),
  badXml(
    "is cut off between elements",
    (fixture) => fixture.xml().replace("</domain>", ""),
    /^the domain's XML on standard input can't be read: ./,
  ),
  badXml(
    "is cut off within an element",
    (fixture) => fixture.xml().slice(0, -20),
    /^the domain's XML on standard input can't be read: ./,
  ),
  badXml(
    "has 50 MB",
    (fixture) => fixture.xml().padEnd(50_000_000),
    "the domain's XML on standard input has 50000000 characters, at most 16777216 are read",
  ),
]);

Deno.test("of 200 disks those that are listed get a session", async () => {
  using fixture = new Fixture().disks({ vda: false });
  const many = Array.from(
    { length: 200 },
    (_, n) => diskXml(`sd${n}`, `/elsewhere/${n}.img`, { format: "raw" }),
  );
  await fixture.good("prepare", "-", { xml: domainXml([...many, diskXml("vda", fixture.vda)]) });
  assertEquals(fixture.state("vda").kind, "session");
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
  assertEquals(file("/&#x1d11e;&quot;&apos;&#10;&#9;"), "/𝄞\"'\n\t");
});

Deno.test("a domain without disks has none, and one with a lone disk has one", () => {
  assertEquals(parseDisks("<domain><devices/></domain>"), []);
  for (const xml of ["<domain/>", "<domain></domain>"]) assertEquals(parseDisks(xml), []);
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

Deno.test("of a guest that runs the disks are read from libvirt's state of it", () => {
  const domain = domainXml([diskXml("vda", "/x")]);
  const live =
    `<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE.\n-->\n<domstatus state="running">${domain}</domstatus>\n`;
  assertEquals(parseDisks(live), parseDisks(domain));
});

Deno.test("names that every object has are names like any other", () => {
  const inside = "<toString/><constructor/><valueOf a='b'/>";
  const disks = parseDisks(domainXml([diskXml("vda", "/x", { inside }), diskXml("vdb", "/y")]));
  assertEquals(disks.map(({ target, unfit }) => [target, unfit]), [["vda", undefined], ["vdb", undefined]]);
});

Deno.test("what is not well-formed is no domain, whatever its disks are", () => {
  const whole = domainXml([diskXml("vda", "/x", { inside: "<!-- a --><![CDATA[b]]>" })]);
  const wrong = [
    ...Array.from({ length: whole.trimEnd().length - 1 }, (_, length) => whole.slice(0, length + 1)),
    whole.replace("</devices>", "</device>"),
    whole.replace("<name>", "<name>1 < 2"),
    whole.replace("<name>", "<name>a & b"),
    whole.replace("<name>", "<name a='<'>"),
    whole.replace("<name>", "<name a='1' a='2'>"),
    whole.replace("<name>", "<name a=1>"),
    whole.replace("<name>", "<name>&unknown;"),
    whole.replace("<name>", "<name>&#0;"),
    whole.replace("<name>", "<name>&#99999999;"),
    whole.replace("<name>", "<name>\u0001"),
    whole.replace("<name>", "<unbound:name/><name>"),
    whole.replace("<!-- a", "<!-- a -- b"),
    `${whole}</domain>`,
    `${whole}<domain/>`,
    `${whole}text`,
    `text${whole}`,
    `<!DOCTYPE domain [<!ENTITY x "y">]>${whole.replace("<name>", "<name>&x;")}`,
  ];
  const isRead = (xml: string) => {
    try {
      return parseDisks(xml).length >= 0;
    } catch (error) {
      return !(error instanceof UserError);
    }
  };
  assertEquals(wrong.filter(isRead), []);
});

Deno.test("a text that is made to take long is refused", () => {
  for (const hostile of ["<a ", "<a b='", "<!--", "<![CDATA[", "<a/", "</", "<a>", "<a><", "&", "<?"]) {
    assertThrows(() => parseDisks(`<domain>${hostile.repeat(20_000)}`), UserError);
  }
});
