import { asUserError, UserError } from "../errors.ts";
import { clearFlags, writeConfig } from "./config_file.ts";
import * as files from "./files.ts";
import type { Host } from "./host.ts";
import type { QemuImg } from "./qemu_img.ts";
import { writeSeats } from "./seat_records.ts";
import { withSuperseded } from "./session_records.ts";
import { folderOf } from "../state/paths.ts";
import { formatRecords, type SessionRecord } from "../state/session_record.ts";
import { formatStart, type StartStamp } from "../state/step.ts";
import { shellWord } from "../text.ts";

/**
 * The interpreter of steps: each is one durable call.
 *
 * @param stamp who notes a start
 */
export function performer(
  qemuImg: QemuImg,
  background: (domain: string) => void,
  stamp: () => StartStamp,
): Host["perform"] {
  return async (step, control) => {
    switch (step.kind) {
      case "link":
        return files.link(step.from, step.to);
      case "rename":
        return files.rename(step.from, step.to);
      case "remove":
        return files.remove(step.path);
      case "mark":
        return files.mark(step.path);
      case "touch":
        return files.renewChangeTime(step.path);
      case "own":
        return files.setOwner(step.path, step.owner);
      case "sync":
        return files.sync(step.path);
      case "copy":
        return files.copy(step.from, step.to);
      case "create":
        return await create(step.overlay, step.backing, qemuImg);
      case "merge":
        return step.isWhole
          ? await files.overwrite(step.layer, step.into)
          : await qemuImg.commit(step.layer, step.into, control);
      case "repair":
        return await qemuImg.repair(step.path, step.what, control);
      case "background":
        return background(step.domain);
      case "clear":
        return await clearFlags(step.config, step.targets);
      case "note":
        return writeRecords(step.path, step.records);
      case "seats":
        return writeSeats(step.path, step.records);
      case "starting":
        // A power cut ends the start anyway.
        return files.write(step.path, formatStart({ ...step, by: stamp() }), { durable: false });
      case "configure":
        return writeConfig(step.config, step.text);
      default:
        return step satisfies never;
    }
  };
}

/** A note that lists nothing goes: somebody else's last word on it may have come before. */
function writeRecords(path: string, given: readonly SessionRecord[]): void {
  const records = withSuperseded(path, given);
  if (records.length > 0) return files.write(path, formatRecords(records), { durable: true });
  if (files.lstat(path) !== undefined) files.remove(path);
}

/**
 * Makes an overlay under a name that nothing has: `qemu-img create` would empty what is there, and that may be a disk.
 *
 * @throws {UserError} with what to look at first
 */
async function create(overlay: string, backing: string, qemuImg: QemuImg): Promise<void> {
  files.createExclusive(overlay);
  try {
    await qemuImg.create(overlay, backing);
  } catch (error) {
    const { message, healedBy, hint: known } = asUserError(error);
    const hint = known ??
      (message.includes("No space left on device")
        ? `make room for it: df -h ${shellWord(folderOf(overlay))}`
        : `see whether all is there that it stands on: qemu-img info -U --backing-chain ${
          shellWord(backing)
        }`);
    throw new UserError(message, { cause: error, hint, healedBy });
  }
}
