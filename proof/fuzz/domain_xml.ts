import { assertEquals } from "@std/assert";
import type { DomainDisk } from "../../lib/input/domain_xml.ts";
import type { Random } from "../../tests/random.ts";
import type { Described, Expat } from "./expat.ts";
import { several, type Subject } from "./subject.ts";
import type { XmlReader } from "./xml_reader.ts";

/**
 * Domain XML: what expat takes for well-formed describes the same disks to both, what is cut off is refused, and the rest
 * is refused or harmless. An entity that a document declares is never expanded: libvirt declares none.
 */
export function domainXml(reader: XmlReader, expat: Expat, real: readonly string[]): Subject {
  return {
    name: "domain XML",
    share: 0.35,
    mutable: true,
    words: [
      ...[
        "<disk type='file'>",
        "</disk>",
        "<source file='/x'/>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?x ?>",
      ],
      ...["&amp;", "&#10;", "<", ">", "'"],
    ],
    make: (random) => random.chance(0.02) ? random.one(real) : domainText(random),
    check: async (xml) => {
      const disks = await reader.disks(xml);
      // An empty <domain/> is refused like one that is cut off; libvirt writes none.
      const known = /<\/domain\s*>/.test(xml) && !xml.includes("<!DOCTYPE");
      const expected = known ? await expat.disks(xml) : null;
      if (expected !== null) {
        assertEquals(disks?.map(described), expected.map(normalised), "expat and the program differ");
        const cut = xml.slice(0, xml.length * 7919 % xml.indexOf("</domain"));
        assertEquals(await reader.disks(cut), null, "what is cut off has no disks");
      }
      return disks ? "taken" : "refused";
    },
  };
}

function described({ target, file, backing, unfit }: DomainDisk): Described {
  return normalised({ target, file: file ?? null, backing: backing ?? null, fits: unfit === undefined });
}

/** libvirt writes line breaks of a file's name as they are, and the program takes them so; a reader of XML makes them spaces. */
function normalised({ target, file, backing, fits }: Described): Described {
  const spaced = <T extends string | null>(text: T) => text?.replaceAll(/\r\n|[\r\n\t]/g, " ") as T;
  return { target: spaced(target), file: spaced(file), backing: spaced(backing), fits };
}

const values = [
  ...[
    "/var/lib/libvirt/images/os.img",
    "/a b",
    "/a&amp;b",
    "/&lt;x&gt;",
    "/&#x4e2d;&#25991;",
    "/中文",
    "/𝄞",
    "/../x",
    "",
    " /x ",
    "/&quot;&apos;",
  ],
  ...[
    "/a&#10;b",
    "/a\nb",
    "/&#38;amp;",
    "/&#38;#60;",
    "/]]>",
    "/--",
    "/>",
    "/a=b",
    "/true",
    "/1e5",
    "/%2e%2e",
    "/null",
  ],
];

/** A domain as libvirt writes it, and as it could be written. */
export function domainText(random: Random): string {
  const maybe = (share: number, text: () => string) => random.chance(share) ? text() : "";
  const quote = (text: string) => {
    const mark = random.one(["'", '"']);
    return `${mark}${text.replaceAll(mark, mark === "'" ? "&apos;" : "&quot;")}${mark}`;
  };
  const gap = () => random.chance(0.5) ? random.one(["\n  ", " ", "\t", "\r\n"]) : "";
  const attributes = (pairs: Record<string, string | undefined>) =>
    Object.entries(pairs).map(([key, value]) =>
      value === undefined
        ? ""
        : ` ${maybe(0.03, gap)}${key}${maybe(0.03, gap)}=${maybe(0.03, gap)}${quote(value)}`
    ).join("");
  const element = (name: string, pairs: Record<string, string | undefined> = {}, inside = "") =>
    inside === "" && random.chance(0.8)
      ? `<${name}${attributes(pairs)}${maybe(0.1, gap)}/>`
      : `<${name}${attributes(pairs)}${maybe(0.1, gap)}>${inside}</${name}${maybe(0.03, gap)}>`;
  const noise = () =>
    maybe(0.1, () =>
      random.one([
        "<!-- <disk><source file='/c'/></disk> -->",
        "<?pi <disk/> ?>",
        "<![CDATA[<disk><target dev='vda'/></disk>]]>",
        "<__proto__ type='file'/>",
        "<constructor/>",
        "<metadata><x:y xmlns:x='urn:x'><x:disk/><disk/></x:y></metadata>",
        "<qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=&lt;/domain&gt;'/></qemu:commandline>",
        "text &amp; more",
        "<!---->",
      ]));
  const mixed = (parts: string[]) => parts.map((part) => noise() + gap() + part).join("") + gap();
  const file = () => maybe(0.9, () => random.one(values)) || undefined;
  const source = () =>
    element(
      "source",
      { file: file(), index: random.one(["1", undefined]), fdgroup: random.chance(0.03) ? "g" : undefined },
      mixed([
        maybe(0.03, () => element("encryption", { format: "luks" })),
        maybe(0.03, () => element("slices", {}, "<slice type='storage'/>")),
        maybe(0.1, () => element("seclabel", { model: "dac", relabel: "no" })),
      ]),
    );
  const store = (): string =>
    element(
      "backingStore",
      { type: random.one(["file", undefined]) },
      mixed(
        several(random, 2, () => random.one([source, store, () => element("format", { type: "qcow2" })])()),
      ),
    );
  const disk = () =>
    element(
      "disk",
      {
        type: random.one(["file", "file", "file", "block", "network", undefined]),
        device: random.one(["disk", "disk", "cdrom", "lun", undefined]),
      },
      mixed([
        maybe(0.9, () => element("driver", { name: "qemu", type: random.one(["qcow2", "qcow2", "raw"]) })),
        maybe(0.9, source),
        maybe(0.05, source),
        maybe(0.1, store),
        maybe(0.9, () =>
          element("target", { dev: random.one(["vda", "sda", "nvme0n1", "hdc", "v&amp;a"]), bus: "virtio" })),
        ...["readonly", "shareable", "transient"].map((name) =>
          maybe(0.05, () =>
            element(name))
        ),
        maybe(0.05, () => element("mirror", {}, source())),
        maybe(0.3, () => element("address", { type: "pci", slot: "0x04" })),
      ]),
    );
  const devices = () =>
    element(
      "devices",
      {},
      mixed([
        element("emulator", {}, "/usr/bin/qemu"),
        ...several(random, 4, disk),
        maybe(0.3, () => element("interface", { type: "network" }, source())),
      ]),
    );
  const domain = `<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>${
    mixed([element("name", {}, "guest"), maybe(0.9, devices), maybe(0.05, devices)])
  }</domain>`;
  const text = maybe(0.2, () => "<?xml version='1.0' encoding='UTF-8'?>\n") +
    maybe(0.02, () => entities(random)) +
    (random.chance(0.1) ? `<domstatus state='running'>${noise()}${domain}</domstatus>` : domain) +
    maybe(0.5, () => "\n");
  return random.chance(0.05) ? text.slice(0, random.below(text.length)) : text;
}

/** A billion laughs, or an entity from a file. */
function entities(random: Random): string {
  const laughs = Array.from(
    { length: 12 },
    (_, n) => `<!ENTITY amp${n + 1} "${`&amp${n || ""};`.repeat(10)}">`,
  );
  const declared = random.one([
    laughs.join(""),
    '<!ENTITY file SYSTEM "file:///etc/passwd">',
    "",
    '<!ATTLIST disk type CDATA "block">',
  ]);
  return `<!DOCTYPE domain [${declared}]>`;
}
