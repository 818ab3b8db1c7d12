/** The hook as a script under several versions of Deno: what a newer runtime gives. */

import { ok, type Place, ROOT } from "./place.ts";
import { sideBySide } from "./measure.ts";

const NEWER = "2.9.6";

export async function measureVersions(place: Place) {
  const folder = `${ROOT}.deno/bench`;
  const newer = `${folder}/node_modules/@deno/linux-x64-glibc/deno`;
  await ok("npm", ["install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, `deno@${NEWER}`]);
  const script = await place.script();
  await Deno.writeTextFile(`${place.programs}/empty.js`, "");
  const run = (
    deno: string,
    ...more: string[]
  ) => [deno, "run", "--no-config", "--no-lock", "--no-prompt", "--allow-all", ...more];
  const guest = await place.guest("versions");
  const subjects = [Deno.execPath(), newer].flatMap((deno, index) => {
    const version = index === 0 ? Deno.version.deno : NEWER;
    return [
      { name: `empty ${version}`, command: run(deno, `${place.programs}/empty.js`) },
      { name: `start ${version}`, command: run(deno, script, guest.name, "start", "begin", "-") },
    ];
  });
  return await sideBySide(subjects, 4);
}
