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
    summary: "show session, layers, flag and state of each disk",
    domains: any,
    targets: none,
    options: { json },
    text: `Prints one line per disk: size and age of its session, its layers (the base and the commits
on it), whether its flag is set, and its state. Changes nothing, and needs no libvirtd.
Exits with 1 if something needs attention; "autorevert check" then says what to do.`,
  },
  check: {
    summary: "find problems on the host and in the configurations",
    domains: any,
    targets: none,
    options: { json },
    text: `Checks the hook, libvirtd, qemu-img, the configurations, the domains, the images and the
files beside them, and prints each problem with the next command to type. Changes nothing.
Exits with 1 if it found something.`,
  },
  enable: {
    summary: "add disks to a guest's configuration: every start begins clean",
    domains: one,
    targets: any,
    options: {
      "keep-commits": `keep the N newest commits unmerged, so that they can be undone: 0 to ${MOST_KEPT}`,
      "keep-session": "set every ended session aside until the guest is up again",
      "no-keep-session": "discard ended sessions again",
      firmware: "UEFI variables and TPM state go back with the disks, and are kept with them",
      "no-firmware": "they stay as each session leaves them",
      "by-hand": "seats take a commit only when it is published",
      "no-by-hand": "they take each commit again",
      master: "make the disks seats of another guest's disk, this one",
      preview: "seats take each commit, whatever is published",
      "no-preview": "seats take what is published again",
    },
    text: `Adds disks to the guest's configuration, and creates it if there is none. Refused if they
can't be managed. Takes effect at the guest's next start. The options also change disks that are
listed already; without a TARGET, all of them. With neither, it names the disks that it could add.
With --master the disks become seats: copies of another guest's disk that go back to it at every
start. Their images need not be there; what is kept of the master is committed by its own guest.`,
  },
  publish: {
    summary: "have seats take the newest commit of a disk at their next start",
    domains: one,
    targets: any,
    options: { back: "the version before the published one, instead" },
    text: `For the guest of a master whose commits are published by hand: "publish": "by hand" in its
configuration. Seats that run stay on the version they began with.`,
  },
  disable: {
    summary: "remove disks from a guest's configuration",
    domains: one,
    targets: any,
    options: {},
    text: `Removes the disks, or all of them, from the guest's configuration. Commits are merged and
stay; a session that runs is still discarded at its end. Refused while a session is to be
committed, or that of a seat is set aside.`,
  },
  commit: {
    summary: "keep one session of a guest: the running one, or the next",
    domains: one,
    targets: any,
    options: { cancel: "clear the flag: the session is not kept" },
    text: `Sets "one-shot-commit" of the disks, or of all that are listed. The session that runs, or else
the next one, becomes part of the disk when it ends; then the flag clears itself.`,
  },
  keep: {
    summary: "make the last session, which was set aside, part of the disk",
    domains: one,
    targets: any,
    options: { yes },
    text: `For a guest that is shut off. Sessions are set aside until the guest is up again with
"keep-session": true in the configuration, and always where libvirt is older than 10.5. Where the
disk was written to since, which the session may not fit to any more, it asks.`,
  },
  undo: {
    summary: "take the last commit of the disks back, after asking",
    domains: one,
    targets: any,
    options: { yes },
    text: `For a guest that is shut off. Where no disk is named, all that were committed last, with one
session, go back together. Commits can be undone until they are merged: "keep-commits" in the
configuration is the number of newest commits kept unmerged. The commit is set aside until the guest
is up again; "autorevert keep" brings it back.`,
  },
  merge: {
    summary: "merge pending commits now",
    domains: one,
    targets: none,
    options: {},
    text: `Merges in the foreground what is otherwise merged in the background after the guest has ended.
May be interrupted at any time: the disk reads the same, and doing it again finishes it. While
other guests write to the same folder, it copies 32 MiB a second, so that they hardly notice.`,
  },
  recover: {
    summary: "complete an event that a crash interrupted, or end a session",
    domains: one,
    targets: any,
    options: {
      keep: "then make the session part of the disk",
      discard: "then discard the session, after asking",
      yes,
    },
    text: `Completes what a crash interrupted, as the guest's next event would. A session of a guest
that is shut off stays, unless --keep makes it part of the disk or --discard discards it. This
also applies to an overlay that this hook did not create, for example one that the original
Python hook left after a crash. --keep asks if a session that is set aside is lost by it. Of a disk
that has another image now, the old one is named by its path in place of TARGET; without a session,
--discard forgets it.`,
  },
  log: {
    summary: "show what the hook did",
    domains: [0, 1],
    targets: none,
    options: { follow: "wait for more (-f)" },
    text: `Prints the lines of the log, or those of one guest.`,
  },
  schema: {
    summary: "print the JSON schema of a configuration, for editors",
    domains: none,
    targets: none,
    options: {},
    text: `With it, editors complete and check the file.`,
  },
  completion: {
    summary: "print the script that lets a shell complete these commands",
    domains: none,
    targets: none,
    words: ["bash", "zsh", "fish"],
    options: {},
    text: `"make install" puts the scripts into place. By hand, for bash:
  autorevert completion bash > /etc/bash_completion.d/autorevert`,
  },
};

/** Options that take a value: a whole number from 0 to this one, or an absolute path. */
export const valued: Readonly<Record<string, number | "path">> = {
  "keep-commits": MOST_KEPT,
  master: "path",
};

/** Short forms of options. */
export const short: Readonly<Record<string, string>> = { f: "follow", h: "help", y: "yes" };
