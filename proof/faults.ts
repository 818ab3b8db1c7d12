/** Each call of each event fails once, in each way that such a call can fail. */

import { eachEvent } from "./cuts.ts";
import { inPlaces } from "./places.ts";
import { ProofFixture } from "./proof_fixture.ts";
import { type Call, readRecord } from "./record.ts";
import { sample, share, shared, steps } from "./shares.ts";
import { Tally } from "./tally.ts";
import { Trial } from "./trial.ts";

/** Of so many calls one fails in the short run. */
const STRIDE = 110;

const numbers = { EIO: 5, EACCES: 13, EMFILE: 24, ENOSPC: 28, EROFS: 30 } as const;
type Errno = keyof typeof numbers;

/** How a call can fail. */
function errorsOf({ call, flags = 0 }: Call): readonly Errno[] {
  switch (call) {
    case "open":
    case "openat": {
      const writes = (flags & 0o3) !== 0;
      return writes ? ["EIO", "EACCES", "EMFILE", "ENOSPC", "EROFS"] : ["EIO", "EACCES", "EMFILE"];
    }
    case "pipe2":
      return ["EMFILE"];
    case "write":
    case "pwrite64":
    case "writev":
    case "pwritev":
    case "fallocate":
    case "ftruncate":
    case "fsync":
    case "fdatasync":
      return ["EIO", "ENOSPC"];
    case "rename":
    case "renameat2":
    case "link":
    case "linkat":
    case "unlink":
    case "unlinkat":
    case "chmod":
    case "chown":
    case "fchmodat":
    case "fchownat":
      return ["EIO", "EACCES", "ENOSPC", "EROFS"];
    case "stat":
    case "lstat":
    case "statx":
    case "newfstatat":
      return ["EIO", "EACCES"];
    default:
      return ["EIO"];
  }
}

await shared(import.meta.url, "Each call fails once", new Tally("event", "failures"), async (tally) => {
  await inPlaces(async (places) => {
    for (const [index, cut] of share(sample(eachEvent(), 5))) {
      using fixture = new ProofFixture(places);
      const trial = await Trial.of(cut, fixture);
      const record = `${places.folder}/record`;
      await trial.run(["--calls", "all", "--record", record]);
      const calls = readRecord(record);
      for (const at of steps(index, STRIDE)) {
        const call = calls[at - 1];
        if (call === undefined) break;
        for (const error of errorsOf(call)) {
          const how = ["--calls", "all", "--fail-at", `${at}`, "--errno", `${numbers[error]}`];
          let struck: string | undefined;
          try {
            const traced = await trial.run(how);
            struck = traced.struck;
            await trial.check("fault", traced.code === 0);
            tally.passed(cut.event);
          } catch (reason) {
            tally.failed(cut.event, `${cut.event} (${cut.state}), ${error} at call ${at}: ${struck}`, reason);
          }
        }
      }
    }
  });
});
