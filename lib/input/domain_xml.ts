import { parse } from "@libs/xml";
import { asUserError, UserError } from "../errors.ts";
import { quoted } from "../text.ts";

/** A disk as the domain's XML describes it. */
export interface DomainDisk {
  readonly target: string;
  /** Path of the image, if the disk is one file. */
  readonly file: string | undefined;
  /** The file that its XML says it stands on: after an external snapshot, the session. */
  readonly backing: string | undefined;
  /** It is a file of the guest's firmware: `nvram` for its UEFI variables, `tpm` for the state of its TPM. */
  readonly firmware?: true;
  /** Its guest writes all of the file, the first bytes too: these say nothing of what it stands on. */
  readonly raw?: true;
  /** Why it can't be managed, and what to do about it; undefined if it can. */
  readonly unfit: { readonly reason: string; readonly hint: string } | undefined;
}

/** Far more than libvirt writes for any guest. */
const LONGEST_XML = 16 * 1024 * 1024;

type Node = Record<string, unknown>;

const given = {
  name: "the domain's XML on standard input",
  hint:
    "the hook is called by libvirt; by hand: virsh dumpxml --inactive DOMAIN | /etc/libvirt/hooks/qemu --dry-run DOMAIN prepare begin -",
};

/**
 * The disks of a domain, by what libvirt gives a hook on standard input, or keeps in its own files: there the domain
 * of a guest that runs lies in a `<domstatus>`.
 *
 * @param from what the text is called in an error, and what to do then
 * @throws {UserError} if the text is no domain XML
 */
export function parseDisks(xml: string, { name, hint } = given): DomainDisk[] {
  if (xml.length > LONGEST_XML) {
    throw new UserError(`${name} has ${xml.length} characters, at most ${LONGEST_XML} are read`, { hint });
  }
  if (xml.trim() === "") throw new UserError(`${name} is empty`, { hint });
  let root: unknown;
  try {
    // References are decoded already where the reviving begins: it would trim file names, and decode some twice.
    root = parse(xml, { revive: { trim: false, entities: false } });
  } catch (cause) {
    const why = asUserError(cause).message;
    throw new UserError(`${name} can't be read: ${why}`, { cause, hint });
  }
  const [domain] = [root, ...children(root, "domstatus")].flatMap((parent) => children(parent, "domain"));
  if (domain === undefined) {
    throw new UserError(`${name} is no <domain>: it begins with ${quoted(xml.trim().slice(0, 20))}`, {
      hint,
    });
  }
  const devices = children(domain, "devices");
  return [
    ...devices.flatMap((all) => children(all, "disk")).map(parseDisk),
    ...children(domain, "os").filter((os) => "nvram" in os).map(parseVariables),
    ...devices.flatMap((all) => children(all, "tpm")).flatMap((tpm) => parseTpm(tpm, domain)),
  ];
}

/** The file of the UEFI variables. In another format than raw it is copied all the same. */
function parseVariables(os: Node): DomainDisk {
  const [nvram] = children(os, "nvram");
  const [source] = children(nvram, "source");
  // The parser gives an element with a text alone as that text.
  const text = typeof os["nvram"] === "string" ? os["nvram"] : nvram?.["#text"];
  const file = attribute(source, "file") ?? (typeof text === "string" && text !== "" ? text : undefined);
  return {
    target: "nvram",
    file,
    backing: undefined,
    firmware: true,
    unfit: withoutFile(file, "UEFI variables"),
  };
}

/** Where libvirt keeps the state of emulated TPMs, by the guest's UUID: virtQEMUDriverConfig in src/qemu/qemu_conf.c. */
const TPM_FOLDER = "/var/lib/libvirt/swtpm";

/** The file that swtpm keeps between two starts. A TPM of the host's is none of ours. */
function parseTpm(tpm: Node, domain: Node): DomainDisk[] {
  const [backend] = children(tpm, "backend");
  if (attribute(backend, "type") !== "emulator") return [];
  const isOld = attribute(backend, "version") === "1.2";
  const [source] = children(backend, "source");
  const uuid = domain["uuid"];
  const usual = typeof uuid === "string" ? `${TPM_FOLDER}/${uuid}/${isOld ? "tpm1.2" : "tpm2"}` : undefined;
  const folder = attribute(source, "type") === "file" ? undefined : attribute(source, "path") ?? usual;
  const file = folder === undefined
    ? attribute(source, "path")
    : `${folder}/${isOld ? "tpm-00.permall" : "tpm2-00.permall"}`;
  return [{ target: "tpm", file, backing: undefined, firmware: true, unfit: withoutFile(file, "TPM state") }];
}

function withoutFile(file: string | undefined, what: string): DomainDisk["unfit"] {
  return file !== undefined
    ? undefined
    : { reason: `its ${what} are in no file`, hint: 'take "firmware" out of the configuration' };
}

function parseDisk(disk: Node): DomainDisk {
  const [source] = children(disk, "source");
  const target = attribute(children(disk, "target")[0], "dev") ?? "";
  const type = attribute(disk, "type") ?? "file";
  const file = type === "file" ? attribute(source, "file") : undefined;
  const [backing] = children(disk, "backingStore").flatMap((store) => children(store, "source"));
  const isRaw = formatOf(disk) === "raw";
  return {
    ...{ target, file, backing: attribute(backing, "file"), unfit: unfitness(disk, type, source) },
    ...isRaw && { raw: true },
  };
}

function formatOf(disk: Node): string {
  return attribute(children(disk, "driver")[0], "type") ?? "raw";
}

/** First of the reasons why a disk can't go back to an earlier state by an overlay. */
function unfitness(disk: Node, type: string, source: Node | undefined): DomainDisk["unfit"] {
  const has = (name: string, node: Node | undefined = disk) => children(node, name).length > 0;
  const device = attribute(disk, "device") ?? "disk";
  const format = formatOf(disk);
  const remove = (element: string) => ({
    hint: `take <${element}/> out of the disk with virsh edit, or its entry out of the configuration`,
  });
  const unlist = { hint: "take its entry out of the configuration" };

  if (device !== "disk") return { reason: `it is a ${device}, only a disk can be managed`, ...unlist };
  if (type !== "file") {
    return {
      reason: `it is of type ${quoted(type)}, only type "file" can be managed`,
      hint:
        "put the disk into a qcow2 file (qemu-img convert -O qcow2), or take its entry out of the configuration",
    };
  }
  if (attribute(source, "file") === undefined) return { reason: "it has no source file", ...unlist };
  if (format !== "qcow2") {
    return {
      reason: `its driver type is ${quoted(format)}, only "qcow2" can be managed`,
      hint: "convert the image (qemu-img convert -O qcow2) and set <driver type='qcow2'/> with virsh edit",
    };
  }
  for (const element of ["readonly", "shareable", "transient"]) {
    if (has(element)) {
      return { reason: `it is ${element === "readonly" ? "read-only" : element}`, ...remove(element) };
    }
  }
  if (has("encryption") || has("encryption", source)) return { reason: "it is encrypted", ...unlist };
  if (has("slices", source)) return { reason: "it is a slice of a file", ...unlist };
  if (attribute(source, "fdgroup") !== undefined) {
    return { reason: "it is passed as a file descriptor", ...unlist };
  }
  if (has("backingStore")) {
    return {
      reason: "its XML has an explicit <backingStore>, which would hide the overlay's backing file",
      ...remove("backingStore"),
    };
  }
  return undefined;
}

function children(node: unknown, name: string): Node[] {
  const value = (node as Node | null | undefined)?.[name];
  if (value === undefined) return [];
  // The parser gives an empty element as null and a lone text as a string.
  return (Array.isArray(value) ? value : [value]).map((child) =>
    typeof child === "object" && child !== null ? child : {}
  );
}

function attribute(node: Node | undefined, name: string): string | undefined {
  const value = node?.[`@${name}`];
  return typeof value === "string" ? value : undefined;
}
