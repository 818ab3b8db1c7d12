import { configOf, type EventContext } from "./context.ts";
import { observeFirmware } from "./observe.ts";
import { checkTemplates, withTemplates } from "./seat_firmware.ts";
import { readOtherRecords, readOwnRecords } from "../host/session_records.ts";
import { parseDisks } from "../input/domain_xml.ts";
import { stateOf } from "../state/observed_disk.ts";
import { newRecord } from "../state/records_at_prepare.ts";
import type { SessionRecord } from "../state/session_record.ts";
import { copyAside, replaceByCopy } from "../state/transitions.ts";

/**
 * What libvirt has made of the firmware since `prepare`, of which the guest had none: that is what the guest goes back to, copied
 * aside before QEMU can write to it.
 *
 * After a crash the guest's end, or its next start, finds either the copy or a file of which nothing was copied, which QEMU has not
 * seen.
 *
 * @throws {UserError} if it can't be copied: the start has to fail then
 */
export async function copyNewFirmware(context: EventContext): Promise<void> {
  const { run, host, paths } = context;
  const config = await configOf(context);
  const disks = parseDisks(host.readXml());
  const observe = (records: readonly SessionRecord[]) =>
    observeFirmware(config, disks, records, host.settings.firmwareFolders);
  using _folders = await run.locks.folders(observe([]).map(({ names }) => names.image));
  const records = readOwnRecords(paths.note);
  const made = observe(records).filter((file) => stateOf(file).kind === "plain");
  if (made.length === 0) return;
  const others = readOtherRecords(paths.note, made.map(({ names }) => names.image));
  const added = made.map((file) => newRecord(file, host.now(), others));
  const kept = records.filter(({ image }) => added.every((record) => record.image !== image));
  await run.take("", [{ kind: "note", path: paths.note, records: [...kept, ...added] }]);
  const found = await withTemplates(made, context);
  for (const { target, names, owner, template } of found) {
    await run.take(target, copyAside(names, owner));
    if (template !== undefined) await run.take(target, replaceByCopy(names, template, owner));
  }
  await checkTemplates(found, context);
}
