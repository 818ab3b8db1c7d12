/**
 * Makes a bundle's pieces the same bytes wherever they were built. The bundler names them by a hash of their paths too,
 * and a compiled program keeps the time of each of its files.
 */

/** Numbers the pieces of a folder in the order in which they are named, from the first on. */
export async function settle(folder: string, first: string): Promise<void> {
  const names = [first];
  const texts = new Map<string, string>();
  // The list grows as it is gone through.
  for (const name of names) {
    const text = await Deno.readTextFile(`${folder}/${name}`);
    texts.set(name, text);
    for (const [, other] of text.matchAll(/(?<=["'`])\.\/([\w-]+\.js)(?=["'`])/g)) {
      if (!names.includes(other!) && await isThere(`${folder}/${other}`)) names.push(other!);
    }
  }
  await Deno.remove(folder, { recursive: true });
  await Deno.mkdir(folder);
  const numbered = new Map(
    names.map((name, number) => [name, name.replace(/-[A-Z0-9]{8}(?=\.js$)/, `-${number}`)]),
  );
  for (const [name, text] of texts) {
    const renamed = text.replaceAll(
      /(?<=["'`]\.\/)[\w-]+\.js(?=["'`])/g,
      (other) => numbered.get(other) ?? other,
    );
    await Deno.writeTextFile(`${folder}/${numbered.get(name)}`, renamed);
  }
  for (const name of numbered.values()) await Deno.utime(`${folder}/${name}`, 0, 0);
  await Deno.utime(folder, 0, 0);
}

/** A bundle in one file, with the paths of packages as they are in any cache. */
export function settled(bundle: string): string {
  return bundle.replaceAll(/^(\/\/ | {2}")(?:\.\.\/){2,}[^\s"]*?\/(npm|remote)\//gm, "$1$2/");
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
