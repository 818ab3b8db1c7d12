/** What each event costs, beside the floors it can't go below and beside the Python original. */

import { COMPILE } from "../build/build.ts";
import { type Guest, ok, type Place, QEMU_IMG, ROOT } from "./place.ts";
import { peakMemory, sideBySide, type Subject } from "./measure.ts";

/** An empty program, compiled as the hook is. */
async function emptyProgram(folder: string): Promise<string> {
  await Deno.writeTextFile(`${folder}/empty.js`, "");
  await ok(Deno.execPath(), [
    "compile",
    ...COMPILE,
    "--output",
    `${folder}/empty.built`,
    `${folder}/empty.js`,
  ]);
  await ok("cp", [`${folder}/empty.built`, `${folder}/empty`]);
  return `${folder}/empty`;
}

function event(guest: Guest, name: string, call: string, before = "true"): Subject {
  const [operation, sub = "begin", extra = "-"] = call.split(" ");
  return { name, command: guest.event(operation!, sub, extra), input: guest.xml, before };
}

/** The same event, handled by the program without the gate. */
function alone({ name, command: [, ...words], ...rest }: Subject, { program }: Place): Subject {
  return { name: `${name} alone`, command: [program, ...words], ...rest };
}

export async function measureEvents(place: Place) {
  const empty = await emptyProgram(place.programs);
  const guest = await place.guest("desktop");
  const committed = await place.guest("committed");
  const call = ({ name, xml }: Guest, ...words: string[]) =>
    `${place.hook} ${name} ${words.join(" ")} < ${xml}`;
  const merged = `while ls ${place.images} | grep -q ${committed.name}.*backing; do sleep 0.01; done`;
  const flag = `sed -i 's/"one-shot-commit": false/"one-shot-commit": true/' ${committed.configuration}`;
  const start = (guest: Guest) =>
    `${call(guest, "prepare", "begin", "-")} && ${call(guest, "started", "begin", "-")}`;

  const original = await place.guest("original");
  const python = (operation: string) => [
    "/usr/bin/python3",
    `${ROOT}bench/original.py`,
    original.configuration,
    `${place.folder}/original.log`,
    "original",
    operation,
  ];
  const base = (await place.guest("floor")).images[0]!;
  const work =
    `${QEMU_IMG} create -q -f qcow2 -F qcow2 -b ${base} ${base}.new && mv ${base}.new ${base}.b && mv ${base}.b ${base}.c`;
  const unmanaged = await place.guest("unmanaged");
  await Deno.remove(unmanaged.configuration);

  const prepare = event(guest, "prepare", "prepare", call(guest, "release", "end", "shutdown"));
  const release = event(guest, "release", "release end shutdown", start(guest));
  const ignored = event(unmanaged, "unmanaged", "prepare");
  const subjects: Subject[] = [
    { name: "true", command: ["/bin/true"] },
    { name: "empty", command: [empty] },
    {
      name: "create",
      command: [QEMU_IMG, "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, `${base}.new`],
    },
    { name: "work", command: ["sh", "-c", work] },
    ignored,
    alone(ignored, place),
    event(guest, "start", "start"),
    event(guest, "started", "started"),
    event(guest, "stopped", "stopped end"),
    event(guest, "reconnect", "reconnect"),
    prepare,
    alone(prepare, place),
    release,
    alone(release, place),
    event(committed, "commit", "release end shutdown", `${flag} && ${start(committed)}`),
    { name: "python", input: original.xml, command: python("started") },
    {
      name: "python prepare",
      input: original.xml,
      command: python("prepare"),
      before: `[ ! -e ${original.images[0]}.backing_file ] || mv ${original.images[0]}.backing_file ${
        original.images[0]
      }`,
    },
    {
      name: "python release",
      input: original.xml,
      command: python("release"),
      before: `[ -e ${original.images[0]}.backing_file ] || cp ${original.images[0]} ${
        original.images[0]
      }.backing_file`,
    },
  ];
  const settled = ({ before = "true", ...subject }: Subject) => ({
    ...subject,
    before: `${merged}; ${before}`,
  });
  const times = await sideBySide(subjects.map(settled));

  const memory: Record<string, number> = {};
  for (const subject of subjects) {
    if (["empty", "unmanaged", "prepare", "release", "commit", "python"].includes(subject.name)) {
      memory[subject.name] = await peakMemory(subject);
    }
  }
  const size = async (file: string) => (await Deno.stat(file)).size;
  return { times, memory, bytes: { empty: await size(empty), hook: await size(place.program) } };
}
