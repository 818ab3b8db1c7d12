/**
 * A million inputs, by grammars and by mutations of what has reached new code, and what must hold for each.
 *
 * `INPUTS` is their number, `SEED` repeats a run, and `INPUT` one input that a run has written down.
 */

import process from "node:process";
import { configuration } from "./fuzz/configuration.ts";
import { Coverage } from "./fuzz/coverage.ts";
import { domainXml } from "./fuzz/domain_xml.ts";
import { Expat } from "./fuzz/expat.ts";
import { invocation } from "./fuzz/arguments.ts";
import { life } from "./fuzz/lifecycle.ts";
import { mutated } from "./fuzz/mutation.ts";
import { seatNote } from "./fuzz/seat_record.ts";
import { note } from "./fuzz/session_record.ts";
import { XmlReader } from "./fuzz/xml_reader.ts";
import type { Answer, Subject } from "./fuzz/subject.ts";
import { type Random, randomly } from "../tests/random.ts";

const short = Deno.env.get("SHORT") === "1";
const INPUTS = Number(Deno.env.get("INPUTS") ?? (short ? 20_000 : 1_000_000));
/** A sample is the same each time: it tells whether a change has broken something, and only that. */
const SEED = Number(Deno.env.get("SEED") ?? (short ? 1 : Date.now() % 1_000_000));
/** So many inputs between two looks at what is covered: a look takes as long as many inputs. */
const FEWEST = 50;
const MOST = 5000;
/** Share of the inputs in which coverage is looked at; what it has found is mutated in the others. */
const GUIDED = 0.05;
/** Milliseconds of the processor: far more than any input takes. */
const LONGEST = 2000;

/** Inputs that reached code which none before had reached. */
class Corpus {
  readonly inputs: string[] = [];
  readonly answers: Record<Answer, number> = { taken: 0, refused: 0 };

  constructor(readonly subject: Subject, readonly random: Random, readonly coverage: Coverage) {}

  /** @returns the inputs that were tried */
  async take(inputs: number): Promise<string[]> {
    const batch = Array.from({ length: inputs }, () => this.#next());
    for (const input of batch) this.answers[await checked(this.subject, input)]++;
    return batch;
  }

  /** @returns whether new code was reached */
  async explore(inputs: number): Promise<boolean> {
    const batch = await this.take(inputs);
    let news = await this.coverage.news();
    const isNew = news.size > 0;
    for (const input of isNew ? batch : []) {
      await this.subject.check(input);
      const reached = await this.coverage.among(news);
      if (reached.size > 0) this.inputs.push(input);
      news = news.difference(reached);
      if (news.size === 0) break;
    }
    return isNew;
  }

  #next(): string {
    const { random, subject } = this;
    const made = subject.make(random);
    if (!subject.mutable || random.chance(0.4)) return made;
    const one = this.inputs.length > 0 && random.chance(0.7) ? random.one(this.inputs) : made;
    return mutated(random, one, subject.words, made);
  }
}

/** One input, and where it is to be found if a promise is broken. */
async function checked(subject: Subject, input: string): Promise<Answer> {
  const begun = process.cpuUsage();
  try {
    const answer = await subject.check(input);
    const { user, system } = process.cpuUsage(begun);
    if (user + system > LONGEST * 1000) throw new Error(`took ${(user + system) / 1000} ms`);
    return answer;
  } catch (cause) {
    const file = Deno.makeTempFileSync({ prefix: "autorevert-fuzz-", suffix: ".json" });
    Deno.writeTextFileSync(file, JSON.stringify({ subject: subject.name, input }));
    throw new Error(`SEED=${SEED}, or this input alone: make proof PART=fuzz INPUT=${file}`, { cause });
  }
}

function realDomains(): string[] {
  const folder = new URL("../tests/domains/", import.meta.url);
  return [...Deno.readDirSync(folder)].map(({ name }) => Deno.readTextFileSync(new URL(name, folder)));
}

async function fuzz(subjects: readonly Subject[]): Promise<void> {
  console.log(`${INPUTS} inputs, SEED=${SEED}`);
  const coverage = new Coverage();
  const begun = performance.now();
  let total = 0;
  for (const [index, subject] of subjects.entries()) {
    const inputs = Math.ceil(INPUTS * subject.share);
    const corpus = new Corpus(subject, randomly(SEED + index), coverage);
    await coverage.begin();
    let left = inputs;
    for (let batch = FEWEST; left > inputs * (1 - GUIDED);) {
      const isNew = await corpus.explore(batch);
      left -= batch;
      batch = isNew ? FEWEST : Math.min(MOST, 2 * batch);
    }
    await coverage.end();
    for (; left > 0; left -= MOST) await corpus.take(Math.min(left, MOST));
    const { taken, refused } = corpus.answers;
    total += taken + refused;
    console.log(
      `${subject.name}: ${inputs} inputs, ${taken} taken, ${refused} refused, ${corpus.inputs.length} reached new code`,
    );
  }
  const seconds = Math.round((performance.now() - begun) / 1000);
  console.log(`ok | ${total} inputs in ${seconds} s, ${coverage.blocks} blocks of code reached`);
}

await using expat = new Expat();
using reader = new XmlReader();
const subjects = [configuration, domainXml(reader, expat, realDomains()), invocation, note, seatNote, life];
const file = Deno.env.get("INPUT");
if (file === undefined) await fuzz(subjects);
else {
  const { subject, input } = JSON.parse(Deno.readTextFileSync(file));
  console.log(await subjects.find(({ name }) => name === subject)!.check(input));
}
