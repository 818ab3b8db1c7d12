/** What the commands are called, take and do: help, completion and the check of the command line are made of it. */

import { MOST_KEPT } from "../input/limits.ts";
import type { Verb } from "../input/event.ts";

/** How many words a command takes of a kind. */
type Count = readonly [least: number, most: number];

export interface CommandSpec {
  /** One line for the list of commands. */
  readonly summary: string;
  /** Words after the command: guests first, then disks, or one of a few fixed words. */
  readonly domains: Count;
  readonly targets: Count;
  readonly words?: readonly string[];
  readonly options: Readonly<Record<string, string>>;
  /** What it does, what it leaves, what happens next. */
  readonly text: string;
}

const none: Count = [0, 0];
const one: Count = [1, 1];
const any: Count = [0, Infinity];

const json = "the answer as JSON, for programs";
const yes = "don't ask";

export const commandSpecs: Readonly<Record<Verb, CommandSpec>> = {
  status: {
    summary: "how the disks of the configured guests are",
    domains: any,
    targets: none,
    options: { json },
    text: `Prints one line a disk: its session's size and age, its layers (the base and the commits
on it), whether its flag is set, and its state. Touches nothing, and needs no libvirtd.
Exits with 1 if something needs attention; "autorevert check" tells what to do then.`,
  },
  check: {
    summary: "find what is wrong before it hurts",
    domains: any,
    targets: none,
    options: { json },
    text: `Looks at the hook, libvirtd, qemu-img, the configurations, the domains, the images and what
lies beside them, and prints what is wrong, each with the next command to type. Changes
nothing. Exits with 1 if it found something.`,
  },
  enable: {
    summary: "let disks of a guest go back at every start",
    domains: one,
    targets: any,
    options: {
      "keep-commits": `keep the N newest commits unmerged, so that they can be undone: 0 to ${MOST_KEPT}`,
      "keep-session": "set every ended session aside until the guest is up again",
      "no-keep-session": "forget ended sessions again",
    },
    text: `Lists the disks in the guest's configuration, which is made if there is none, after a look
whether they can be managed. Takes effect at the guest's next start. The options also change disks
that are listed: without a TARGET all of them. Without both it tells which disks it could list.`,
  },
  disable: {
    summary: "leave disks of a guest alone again",
    domains: one,
    targets: any,
    options: {},
    text: `Takes the disks, or all of them, out of the guest's configuration. Commits that were kept are
merged and stay; a session that runs is still thrown away at its end. Refused while a
session is to be committed.`,
  },
  commit: {
    summary: "keep one session of a guest: the running one, or the next",
    domains: one,
    targets: any,
    options: { cancel: "change your mind: the session is not kept after all" },
    text: `Sets "one-shot-commit" of the disks, or of all that are listed. The session that runs, or else
the next one, becomes part of the disk when it ends; then the flag clears itself.`,
  },
  keep: {
    summary: "make the last session, which was set aside, part of the disk",
    domains: one,
    targets: any,
    options: {},
    text: `For a guest that is shut off. Sessions are set aside until the guest is up again with
"keep-session": true in the configuration, and always where libvirt is older than 10.5.`,
  },
  undo: {
    summary: "take the newest commit of each disk back, after asking",
    domains: one,
    targets: any,
    options: { yes },
    text: `For a guest that is shut off. Commits can be undone until they are merged: "keep-commits" in
the configuration is the number of newest commits kept unmerged. The commit is set aside until the
guest is up again; "autorevert keep" brings it back.`,
  },
  merge: {
    summary: "merge the commits that wait for it, now",
    domains: one,
    targets: none,
    options: {},
    text: `Does in the foreground what otherwise a process in the background does after an end. May be
interrupted at any time: the disk reads the same, and doing it again finishes it. While other
guests write to the folder it copies 32 MiB a second, so that they hardly notice.`,
  },
  recover: {
    summary: "finish what a crash cut short, now instead of at the next event",
    domains: one,
    targets: any,
    options: {
      keep: "then make the session that lies there part of the disk",
      discard: "then throw the session that lies there away, after asking",
      yes,
    },
    text: `Finishes decided commits, makes a missing image again from its layers, and removes what is
left over. A session of a guest that is shut off stays, unless --keep or --discard says
what becomes of it: also one that this hook did not begin, as the original Python hook
leaves after a crash. --keep asks, too, where a session that is set aside goes with it.`,
  },
  log: {
    summary: "what the hook did",
    domains: [0, 1],
    targets: none,
    options: { follow: "wait for more (-f)" },
    text: `Prints the lines of the log, or those of one guest.`,
  },
  schema: {
    summary: "the JSON schema of a configuration file, for editors",
    domains: none,
    targets: none,
    options: {},
    text: `Editors that know JSON schemas complete and check the file with it.`,
  },
  completion: {
    summary: "the script that lets a shell complete these commands",
    domains: none,
    targets: none,
    words: ["bash", "zsh", "fish"],
    options: {},
    text: `"make install" puts the scripts into place. By hand, for bash:
  autorevert completion bash > /etc/bash_completion.d/autorevert`,
  },
};

/** Options that take a value: a whole number from 0 to this one. */
export const valued: Readonly<Record<string, number>> = { "keep-commits": MOST_KEPT };

/** Short forms of options. */
export const short: Readonly<Record<string, string>> = { f: "follow", h: "help", y: "yes" };
