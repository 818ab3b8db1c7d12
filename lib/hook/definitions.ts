import * as files from "../host/files.ts";
import { type DomainDisk, parseDisks } from "../input/domain_xml.ts";
import type { Settings } from "../settings.ts";
import { quoted, shellWord } from "../text.ts";

/** Disks of a domain as libvirt keeps them in this folder; undefined where there are none. */
export function disksIn(folder: string, domain: string): readonly DomainDisk[] | undefined {
  const path = `${folder}/${domain}.xml`;
  const xml = files.read(path);
  return xml === undefined ? undefined : parseDisks(xml, {
    name: quoted(path),
    hint: `see it as libvirt does: virsh dumpxml ${shellWord(domain)}`,
  });
}

/** The same, undefined also where they can't be read: whoever starts or checks the guest is told. */
export function readableDisksIn(folder: string, domain: string): readonly DomainDisk[] | undefined {
  try {
    return disksIn(folder, domain);
  } catch {
    return undefined;
  }
}

/** Domains that libvirt has defined or runs, sorted. */
export function domains({ definedFolder, liveFolder }: Settings): string[] {
  const names = [definedFolder, liveFolder].flatMap(files.listNames);
  return [...new Set(names.flatMap((name) => /^(.+)\.xml$/s.exec(name)?.[1] ?? []))].sort();
}

/** The guests that have an image as their own disk, by the domains' definitions. */
export function guestsOf(
  image: string,
  { host: { settings } }: { readonly host: { readonly settings: Settings } },
): string[] {
  return domains(settings).filter((domain) =>
    (readableDisksIn(settings.definedFolder, domain) ?? []).some(({ file }) =>
      file !== undefined && files.sameFile(file, image)
    )
  );
}

/** The first of them. */
export function guestOf(image: string, context: Parameters<typeof guestsOf>[1]): string | undefined {
  return guestsOf(image, context)[0];
}

/** Images that a guest has as raw disks: what it writes there may look like a header. */
export function rawImages(context: Parameters<typeof guestsOf>[1]): ReadonlySet<string> {
  return new Set(
    allDisks(context).flatMap(({ raw, file }) =>
      raw && file !== undefined ? files.resolveIfThere(file) ?? file : []
    ),
  );
}

/** Images of all guests in these folders or below them, whether they are there or not. */
export function imagesIn(folders: readonly string[], context: Parameters<typeof guestsOf>[1]): string[] {
  return allDisks(context).flatMap(({ file }) =>
    file !== undefined && folders.some((folder) => file.startsWith(`${folder}/`)) ? file : []
  );
}

function allDisks({ host: { settings } }: Parameters<typeof guestsOf>[1]): DomainDisk[] {
  const { definedFolder, liveFolder } = settings;
  return domains(settings).flatMap((domain) =>
    [definedFolder, liveFolder].flatMap((folder) => readableDisksIn(folder, domain) ?? [])
  );
}
