/** `qemu-img` exits with an error, is killed, is missing, answers nonsense, or hangs. */

import { assert } from "@std/assert";
import { type Cut, eachEvent } from "./cuts.ts";
import { inPlaces, type Places } from "./places.ts";
import { ProofFixture } from "./proof_fixture.ts";
import { isShort, sample, share, shared } from "./shares.ts";
import { Tally } from "./tally.ts";
import { Trial } from "./trial.ts";

const REAL = "/usr/bin/qemu-img";
const subcommands = ["create", "info", "commit", "check"] as const;
/** What the hook waits for a short call, and some time to start and to end, in seconds. */
const LONGEST = 45;
/** A start makes a merge stop within so many seconds. */
const MAKES_WAY = 5;

/** What a bad one does for one subcommand, as a shell says it. */
const misdeeds = {
  "exits with 1": () => "echo 'No space left on device' >&2; exit 1",
  "is killed": () => "kill -9 $$",
  // One that says it has done what it hasn't can't be told from a good one; so it does its work.
  "answers nonsense": (subcommand: string) =>
    `echo '}{%&"'; ${
      subcommand === "info" ? "exit 0" : `${REAL} "$@"; code=$?; echo '(x/100%)'; exit $code`
    }`,
} as const;

function good({ qemuImg }: Places): void {
  script(qemuImg, "");
}

function bad({ qemuImg, folder }: Places, subcommand: string, misdeed: string): void {
  script(qemuImg, `if [ "$1" = ${subcommand} ]; then echo >> ${folder}/struck; ${misdeed}; fi\n`);
}

function script(path: string, head: string): void {
  Deno.writeTextFileSync(path, `#!/bin/sh\n${head}exec ${REAL} "$@"\n`);
  Deno.chmodSync(path, 0o755);
}

/** Whether the bad one was called since this was last asked. */
function wasCalled({ folder }: Places): boolean {
  try {
    Deno.removeSync(`${folder}/struck`);
    return true;
  } catch {
    return false;
  }
}

async function tryMisdeeds(cut: Cut, trial: Trial, places: Places, tally: Tally): Promise<void> {
  const all: [string, () => void][] = subcommands.flatMap((subcommand) =>
    Object.entries(misdeeds).map(([name, misdeed]): [string, () => void] => [
      `qemu-img ${subcommand} ${name}`,
      () => bad(places, subcommand, misdeed(subcommand)),
    ])
  );
  all.push(["qemu-img is missing", () => Deno.removeSync(places.qemuImg)]);
  for (const [name, arrange] of all) {
    try {
      arrange();
      const { code } = await trial.run([]);
      good(places);
      if (!wasCalled(places) && name !== "qemu-img is missing") continue;
      await trial.check("fault", code === 0);
      tally.passed(name);
    } catch (error) {
      tally.failed(name, `${name} at ${cut.event} (${cut.state})`, error);
    } finally {
      good(places);
    }
  }
}

/** The event ends within the limit; a merge goes on for ever, until a start asks it to make way. */
async function tryHanging(cut: Cut, trial: Trial, places: Places, tally: Tally): Promise<void> {
  const { fixture } = trial;
  for (const subcommand of subcommands) {
    const name = `qemu-img ${subcommand} hangs`;
    bad(places, subcommand, "exec sleep 1000000");
    fixture.restore(trial.before);
    const tree = fixture.begin(cut.args);
    try {
      // A merge is no event: nobody waits for it.
      const waits = cut.args[0] !== "merge";
      const seconds = waits ? await tree.hook() : 0;
      const hangs = await tree.settled(() => wasCalled(places));
      good(places);
      if (!hangs) continue;
      assert(seconds < LONGEST, `it took ${seconds} s`);
      const left = fixture.tree();
      if (subcommand === "commit" || subcommand === "check") {
        const begun = Date.now();
        await fixture.event("prepare");
        assert(Date.now() - begun < MAKES_WAY * 1000, `the next start took ${Date.now() - begun} ms`);
      }
      await tree.end();
      fixture.restore(left);
      await trial.check("fault");
      tally.passed(name);
    } catch (error) {
      tally.failed(name, `${name} at ${cut.event} (${cut.state})`, error);
    } finally {
      good(places);
      await tree.end();
    }
  }
}

await shared(import.meta.url, "A bad qemu-img", new Tally("what it does", "events"), async (tally) => {
  await inPlaces(async (places) => {
    good(places);
    for (const [, cut] of share(sample(eachEvent(), 9))) {
      using fixture = new ProofFixture(places);
      const trial = await Trial.of(cut, fixture);
      await tryMisdeeds(cut, trial, places, tally);
      if (!isShort) await tryHanging(cut, trial, places, tally);
    }
  }, { qemuImg: (folder) => `${folder}/qemu-img` });
});
