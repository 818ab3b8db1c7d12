import { type Case, caseOfEntry, caseOfListed, sourceOf, stateOf } from "../case.ts";
import { type Config, readConfig } from "../config.ts";
import { isSaved, rowFor } from "../decide.ts";
import { type DomainDisk, parseDisks } from "../domain.ts";
import * as files from "../files.ts";
import type { Occasion } from "../hook.ts";
import { type Entry, readOwnNote } from "../note.ts";
import { planRecovery } from "../plan.ts";
import { circumstances } from "../prepare.ts";
import { refusal } from "../refusal.ts";
import type { Settings } from "../settings.ts";
import { type Fate, refuses } from "../table.ts";
import { asTrouble, quoted, shellWord, Trouble } from "../voice.ts";

/** A guest as it is: read from the files alone, touching nothing and asking nobody. */
export interface Guest {
  readonly domain: string;
  readonly config: Config | undefined;
  readonly entries: readonly Entry[];
  /** The disks as libvirt has them defined; undefined where it knows no such domain. */
  readonly defined: readonly DomainDisk[] | undefined;
  readonly isLive: boolean;
  readonly disks: readonly View[];
  /** What is wrong with the guest as a whole. */
  readonly trouble: Trouble | undefined;
}

/** A disk of a guest. */
export interface View {
  readonly target: string;
  /** Undefined where it can't even be told which image it is. */
  readonly disk: Case | undefined;
  readonly situation: Situation;
  /** What keeps it from starting, or should be dealt with. */
  readonly trouble: Trouble | undefined;
  /** What the next start would do with it, where the table was asked. */
  readonly fate?: Fate;
}

/** How a disk is, by what happens to it next. */
export type Situation =
  | "clean"
  /** A guest runs on a session. */
  | "running"
  /** The guest runs on the disk itself: it was started before the disk was listed. */
  | "unprotected"
  /** Its session waits for a saved guest. */
  | "saved"
  /** A session died without a word, and goes at the next start. */
  | "reverts"
  /** A flagged session died, and goes on at the next start. */
  | "resumes"
  /** Something was cut short, and is finished at the next event. */
  | "cut short"
  | "attention";

/** Guests with a configuration or a note, sorted. */
export function managedGuests({ configFolder }: Settings): string[] {
  const names = files.names(configFolder).flatMap((name) =>
    /^(.+)\.(?:json|session)$/s.exec(name)?.[1] ?? []
  );
  return [...new Set(names)].sort();
}

/** Domains that libvirt has defined or runs, sorted. */
export function domains({ definedFolder, liveFolder }: Settings): string[] {
  const names = [definedFolder, liveFolder].flatMap(files.names);
  return [...new Set(names.flatMap((name) => /^(.+)\.xml$/s.exec(name)?.[1] ?? []))].sort();
}

/** Disks of a domain as libvirt keeps them in this folder; undefined where there are none. */
export function disksIn(folder: string, domain: string): readonly DomainDisk[] | undefined {
  const path = `${folder}/${domain}.xml`;
  const xml = files.read(path);
  return xml === undefined ? undefined : parseDisks(xml, {
    name: quoted(path),
    hint: `see it as libvirt does: virsh dumpxml ${shellWord(domain)}`,
  });
}

/** Looks at a guest. What can't be read is told as its trouble, so that one bad file hides no other. */
export async function lookAt(occasion: Occasion): Promise<Guest> {
  const { domain, host, paths } = occasion;
  let trouble: Trouble | undefined;
  const attempt = async <T>(read: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      trouble ??= asTrouble(error);
      return undefined;
    }
  };
  const config = await attempt(() => readConfig(paths.config, host.settings.configOwner));
  const entries = await attempt(() => readOwnNote(paths.note)) ?? [];
  const live = await attempt(() => disksIn(host.settings.liveFolder, domain));
  const persistent = await attempt(() => disksIn(host.settings.definedFolder, domain));
  // A domain that runs names the whole chain of its images, which says nothing against them.
  const defined = persistent ?? live?.map((disk) => ({ ...disk, unfit: undefined }));

  if (defined === undefined) trouble ??= new Trouble("libvirt knows no such domain");
  const listed = defined === undefined ? [] : config?.disks ?? [];
  const views = listed.map((configured) =>
    seen(
      configured.target,
      () => caseOfListed(configured, defined ?? [], entries, host.settings.imageFolders),
    )
  );
  const images = new Set(views.map((view) => "disk" in view ? view.disk.names.image : ""));
  for (const entry of entries.filter(({ image }) => !images.has(image))) {
    views.push(seen(entry.target, () => caseOfEntry(entry, config, defined)));
  }
  const guest = { domain, config, entries, defined, isLive: live !== undefined };
  return {
    ...guest,
    disks: await Promise.all(views.map((view) => viewOf(view, config, live, occasion))),
    trouble,
  };
}

type Seen = { readonly target: string } & ({ readonly disk: Case } | { readonly error: unknown });

function seen(target: string, look: () => Case): Seen {
  try {
    return { target, disk: look() };
  } catch (error) {
    return { target, error };
  }
}

async function viewOf(
  seen: Seen,
  config: Config | undefined,
  live: readonly DomainDisk[] | undefined,
  occasion: Occasion,
): Promise<View> {
  const { target } = seen;
  const attention = (error: unknown, disk?: Case): View => ({
    target,
    disk,
    situation: "attention",
    trouble: asTrouble(error),
  });
  if ("error" in seen) return attention(seen.error);
  const { disk } = seen;
  try {
    const view = { target, disk, trouble: undefined };
    if (live && sourceOf({ target, image: disk.names.image }, live) === "other") {
      return attention(
        elsewhere(live.find((disk) => disk.target === target)!.file, disk, occasion.domain),
        disk,
      );
    }
    const { stages, cases: [recovered] } = planRecovery([disk], occasion.paths);
    const state = stateOf(recovered!);
    if (live && state.kind === "session" && disk.entry && await isOpen(disk, occasion)) {
      return { ...view, situation: "running" };
    }
    if (live && (state.kind === "plain" || state.kind === "layered")) {
      return { ...view, situation: "unprotected" };
    }
    const start = isSaved(occasion) ? "resume" : "fresh";
    const { fate } = await rowFor(recovered!, occasion, circumstances(recovered!, start, config));
    if (refuses(fate)) return { ...attention(refusal(fate, recovered!), disk), fate };
    return {
      ...view,
      fate,
      situation: stages.length > 0 ? "cut short" : situationOf(fate, state.kind === "session"),
    };
  } catch (error) {
    return attention(error, disk);
  }
}

async function isOpen({ names }: Case, { host }: Occasion): Promise<boolean> {
  return (await host.qemuImg.look(names.image)).kind === "busy";
}

/** What the next start would do says how the disk is now. */
function situationOf(fate: Fate, isSession: boolean): Situation {
  switch (fate) {
    case "keep":
    case "put back":
      return "saved";
    case "resume":
      return "resumes";
    case "freeze":
    case "discard":
      return isSession ? "reverts" : "clean";
    case "leave":
    case "leave to a person":
      return "attention";
    default:
      return "clean";
  }
}

/** After an external snapshot or a blockcopy in a session. */
function elsewhere(file: string | undefined, { target, names }: Case, domain: string): Trouble {
  const [top, base] = [file ?? "", names.image].map(shellWord);
  return new Trouble(
    `the guest writes to ${
      file === undefined ? "no file" : quoted(file)
    } now, which may stand on the session ${quoted(names.image)}`,
    {
      hint:
        `after an external snapshot, bring it back into the session: virsh blockcommit ${
          shellWord(domain)
        } ${target} ` +
        `--base ${base} --top ${top} --active --pivot`,
    },
  );
}
