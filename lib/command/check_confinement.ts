/** What AppArmor and SELinux keep the hook and its guests from. */

import { type Finding, finding } from "./finding.ts";
import * as files from "../host/files.ts";
import type { Settings } from "../settings.ts";
import { printable, quoted, shellWord } from "../text.ts";

/** What libvirt does with a hook that it can't execute. */
export const CONSEQUENCE =
  "libvirt starts no guest, and stops every guest that runs when its daemon restarts";

/** The folders that both know as those of images. */
const KNOWN = "/var/lib/libvirt/images";

export function confinementFindings(settings: Settings): Finding[] {
  return [...appArmorFindings(settings), ...seLinuxFindings(settings), ...denials(settings)];
}

/** Whether the program comes from a package. With PREFIX=/usr the command of `make install` lies there, or a link. */
export function isPackaged({ packaged }: Settings): boolean {
  const info = files.lstat(packaged);
  if (info?.isFile !== true) return false;
  return info.size > LONGEST_COMMAND || !files.read(packaged)!.includes("# The command of autorevert");
}

/** Far longer than that command, and far shorter than the program. */
const LONGEST_COMMAND = 4096;

/** The command that installs what both need. */
function confine(settings: Settings): string {
  return isPackaged(settings) ? "/usr/share/autorevert/confine install" : "make install";
}

const isBelow = (folder: string, parent: string) => `${folder}/`.startsWith(`${parent}/`);

function additions({ confinement: { appArmor } }: Settings): string {
  return `${appArmor}/local/usr.lib.libvirt.virt-aa-helper`;
}

/** Before a guest starts, virt-aa-helper reads the layers of its disks, to allow the guest just those. */
function appArmorFindings(settings: Settings): Finding[] {
  const { confinement: { appArmor }, imageFolders } = settings;
  if (files.lstat(`${appArmor}/usr.lib.libvirt.virt-aa-helper`) === undefined) return [];
  const added = [...(files.read(additions(settings)) ?? "").matchAll(/^\s*"?(\/[^#"\n]*)\/\*\*"?\s+\w*r/gm)];
  const known = [
    KNOWN,
    "/home",
    "/root",
    "/media",
    "/mnt",
    "/opt",
    "/srv",
    ...added.map(([, path]) => path!),
  ];
  return imageFolders.filter((folder) => !known.some((parent) => isBelow(folder, parent))).map((folder) =>
    finding("warning", {
      message: `AppArmor's virt-aa-helper can't read the layers of disks in ${quoted(folder)}: ` +
        `where AppArmor is on, a start fails with "Permission denied"`,
      hint: confine(settings),
    })
  );
}

interface Policy {
  readonly mode: "enforcing" | "permissive";
  /** What the policy says of files, and what the administrator adds to it. */
  readonly contexts: string;
  readonly localContexts: string;
  readonly module: Deno.FileInfo | undefined;
}

function policyOf({ confinement: { seLinux, seLinuxModules } }: Settings): Policy | undefined {
  const config = files.read(`${seLinux}/config`) ?? "";
  const value = (key: string) => new RegExp(`^${key}=(\\w+)`, "m").exec(config)?.[1];
  const [mode, type] = [value("SELINUX"), value("SELINUXTYPE") ?? "targeted"];
  if (mode !== "enforcing" && mode !== "permissive") return undefined;
  const contexts = `${seLinux}/${type}/contexts/files/file_contexts`;
  return {
    mode,
    contexts: files.read(contexts) ?? "",
    localContexts: files.read(`${contexts}.local`) ?? "",
    module: files.lstat(`${seLinuxModules}/${type}/active/modules/400/autorevert`),
  };
}

/** Where virtqemud has a domain of its own, it may not execute a hook, nor read images wherever they lie. */
function seLinuxFindings(settings: Settings): Finding[] {
  const policy = policyOf(settings);
  if (policy === undefined || !policy.contexts.includes(":virtqemud_exec_t:")) return [];
  const severity = policy.mode === "enforcing" ? "error" : "warning";
  const found: Finding[] = [];
  if (policy.module === undefined) {
    const problem =
      "SELinux's policy doesn't let virtqemud execute a hook, and the module that does is not installed: ";
    found.push(finding(severity, { message: problem + CONSEQUENCE, hint: confine(settings) }));
  }
  for (const folder of settings.imageFolders) {
    if (isBelow(folder, KNOWN) || isLabelled(folder, policy.localContexts)) continue;
    const all = shellWord(`${folder}(/.*)?`);
    found.push(
      finding("warning", {
        message: `SELinux doesn't know ${quoted(folder)} as a folder of images: virtqemud can't read it`,
        hint: `semanage fcontext -a -t virt_image_t ${all} && restorecon -R ${shellWord(folder)}`,
      }),
    );
  }
  return found;
}

function isLabelled(folder: string, contexts: string): boolean {
  return contexts.split("\n").some((line) => {
    const [, pattern] = /^(\S+)\s.*:virt_(?:image|content)_t:/.exec(line) ?? [];
    try {
      return pattern !== undefined && new RegExp(`^(?:${pattern})$`).test(`${folder}/os.img.backing_file`);
    } catch {
      return false;
    }
  });
}

/** The last denial in the audit log that is about the hook or a layer, and newer than what has been done about it. */
function denials(settings: Settings): Finding[] {
  const { confinement: { audit }, programs, gated, packaged } = settings;
  const changed = [
    ...[...programs, gated, packaged, additions(settings)].map(files.lstat),
    policyOf(settings)?.module,
  ].map((info) => info?.ctime?.getTime() ?? 0);
  const ours = [...programs, gated, packaged].map((path) => JSON.stringify(path));
  const isOurs = (line: string) =>
    /\bvirt_hook(?:_unconfined)?_t\b|\.backing_file/.test(line) || ours.some((path) => line.includes(path));
  const lines = (files.read(audit) ?? "").split("\n").filter((line) =>
    /^type=AVC .*(?:avc: +denied .*permissive=0|apparmor="DENIED")/.test(line) && isOurs(line)
  );
  const last = lines.at(-1);
  const time = Number(/audit\((\d+)/.exec(last ?? "")?.[1]) * 1000;
  if (last === undefined || !(time > Math.max(...changed))) return [];
  const who = last.includes("apparmor=") ? "AppArmor" : "SELinux";
  const what = last.replace(/^type=AVC msg=audit\(\S*\): */, "");
  const at = new Date(time).toISOString().slice(0, 19).replace("T", " ");
  return [
    finding("error", {
      message: `${who} denied the hook or a disk something, at ${at} UTC: ${printable(what)}`,
      hint: `${confine(settings)}; if it goes on: ausearch -m avc -ts recent`,
    }),
  ];
}
