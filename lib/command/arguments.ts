import { type CommandSpec, commandSpecs, short, valued } from "./commands.ts";
import { UserError } from "../errors.ts";
import { type Event, eventOf, isOperation, isVerb, type Verb, verbs } from "../input/event.ts";
import { listed, nearest, quoted } from "../text.ts";

/** What a command line asks for. */
export type Request =
  | { readonly kind: "command"; readonly command: Command }
  | { readonly kind: "dry run"; readonly event: Event }
  | { readonly kind: "help"; readonly of: Verb | undefined }
  | { readonly kind: "version" };

/** A command, checked against the catalogue. */
export interface Command {
  readonly verb: Verb;
  readonly domains: readonly string[];
  readonly targets: readonly string[];
  /** The word that the command takes where it takes neither. */
  readonly word?: string;
  /** The options that were given, with their values; empty where they take none. */
  readonly options: ReadonlyMap<string, string>;
}

/** The command line is wrong. */
export class Usage extends UserError {
  constructor(message: string, verb?: Verb, hint?: string) {
    super(message, { hint: hint ?? `see 'autorevert ${verb === undefined ? "" : `${verb} `}--help'` });
  }
}

const everywhere = ["help", "version"];

/** @throws {Usage} if it is no command of the catalogue, nor a dry run of an event */
export async function parseLine(args: readonly string[]): Promise<Request> {
  const { parseArgs } = await import("@std/cli/parse-args");
  const known = [...new Set([...everywhere, "dry-run", ...verbs.flatMap((verb) => optionsOf(verb))])];
  const { words, options, values } = partsOf(args);
  const unknown: string[] = [];
  const flags = parseArgs(options, {
    boolean: [...known, ...Object.keys(short)],
    unknown: (_, option) => {
      unknown.push(option!);
      return false;
    },
  });
  const given = new Map([
    ...Object.entries(flags).filter(([, value]) => value === true)
      .map(([flag]) => [short[flag] ?? flag, ""] as const),
    ...values,
  ]);
  const [first] = words;
  const rehearsed = given.has("dry-run") ? eventOf(words) : undefined;
  const verb = first !== undefined && isVerb(first) && rehearsed === undefined ? first : undefined;
  if (given.has("version")) return { kind: "version" };
  checkOptions([...unknown, ...given.keys()], verb, known);
  if (given.has("help")) return { kind: "help", of: verb };
  if (first === "help") return { kind: "help", of: verbs.find((verb) => verb === words[1]) };
  if (verb !== undefined) return { kind: "command", command: commandOf(verb, words.slice(1), given) };
  if (rehearsed !== undefined) return { kind: "dry run", event: rehearsed };
  if (given.has("dry-run") || isOperation(words[1])) {
    throw new Usage(
      words.length === 4
        ? `the third word is ${quoted(words[2])}, should be begin, end or -`
        : `${words.length} arguments, should be 4: DOMAIN OPERATION SUB-OPERATION EXTRA`,
    );
  }
  throw unknownCommand(first);
}

interface Parts {
  readonly words: readonly string[];
  /** Options that take no value: what follows one is a word, also if it is "true". */
  readonly options: readonly string[];
  /** Options that take one, `--option value` or `--option=value`. */
  readonly values: ReadonlyMap<string, string>;
}

/**
 * The parts of a line.
 *
 * @throws {Usage} if an option could be none of the catalogue's, or lacks its value
 */
function partsOf(args: readonly string[]): Parts {
  const words: string[] = [];
  const options: string[] = [];
  const values = new Map<string, string>();
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined && arg !== "--"; arg = rest.shift()) {
    const [, name, value] = /^--([a-z-]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name !== undefined && Object.hasOwn(valued, name)) {
      values.set(name, value ?? rest.shift() ?? "");
    } else if (!arg.startsWith("-") || arg === "-") {
      words.push(arg);
    } else if (/^-(?:-[a-z]+(?:-[a-z]+)*|[a-z]+)$/.test(arg)) {
      options.push(arg);
    } else {
      throw new Usage(`unknown option ${quoted(arg)}`);
    }
  }
  return { words: [...words, ...rest], options, values };
}

function optionsOf(verb: Verb): string[] {
  return Object.keys(commandSpecs[verb].options);
}

function checkOptions(given: readonly string[], verb: Verb | undefined, known: readonly string[]): void {
  const fitting = verb === undefined ? [...everywhere, "dry-run"] : [...everywhere, ...optionsOf(verb)];
  for (const option of given) {
    if (fitting.includes(option)) continue;
    const name = quoted(option.length > 1 ? `--${option}` : `-${option}`);
    if (known.includes(option)) {
      const those = verbs.filter((verb) => optionsOf(verb).includes(option));
      const others = option === "dry-run" ? "an event" : listed(those);
      throw new Usage(`${name} goes with ${others}, not ${verb ? `with ${quoted(verb)}` : "alone"}`, verb);
    }
    const meant = nearest(option, fitting);
    throw new Usage(`unknown option ${name}` + (meant ? `, did you mean "--${meant}"?` : ""), verb);
  }
}

/** @throws {Usage} if an option has a value that it can't have */
function checkValues(given: Command["options"], verb: Verb): void {
  for (const [option, most] of Object.entries(valued)) {
    const value = given.get(option);
    if (most === "path") {
      if (value === undefined || value.startsWith("/")) continue;
      throw new Usage(`--${option} is ${quoted(value)}, should be an absolute path`, verb);
    }
    if (value === undefined || /^\d{1,9}$/.test(value) && Number(value) <= most) continue;
    throw new Usage(`--${option} is ${quoted(value)}, should be a whole number from 0 to ${most}`, verb);
  }
}

const exclusive = [
  ["keep", "discard"],
  ["keep-session", "no-keep-session"],
  ["firmware", "no-firmware"],
  ["by-hand", "no-by-hand"],
  ["preview", "no-preview"],
] as const;

function commandOf(verb: Verb, words: readonly string[], given: Command["options"]): Command {
  const spec = commandSpecs[verb];
  const [least, most] = [spec.domains[0] + spec.targets[0], spec.domains[1] + spec.targets[1]];
  if (spec.words !== undefined) {
    const [word, ...more] = words;
    if (word === undefined || more.length > 0 || !spec.words.includes(word)) {
      throw new Usage(
        `${verb} takes one of ${listed(spec.words)}${word === undefined ? "" : `, not ${listed(words)}`}`,
        verb,
      );
    }
    return { verb, domains: [], targets: [], word, options: given };
  }
  if (words.length < least || words.length > most) {
    const takes = operandsOf(spec);
    throw new Usage(`${verb} takes ${takes === "" ? "no more words" : takes}, not ${listed(words)}`, verb);
  }
  checkValues(given, verb);
  for (const [one, other] of exclusive) {
    if (given.has(one) && given.has(other)) {
      throw new Usage(`--${one} and --${other} exclude each other`, verb);
    }
  }
  const domains = Math.min(words.length, spec.domains[1]);
  return { verb, domains: words.slice(0, domains), targets: words.slice(domains), options: given };
}

/** The words that a command takes, as usage lines write them. */
export function operandsOf({ domains, targets, words }: CommandSpec): string {
  if (words !== undefined) return words.join("|");
  const part = (name: string, [least, most]: CommandSpec["domains"]) => {
    const several = most > 1 ? `${name}...` : name;
    return most === 0 ? [] : least === 0 ? [`[${several}]`] : [several];
  };
  return [...part("DOMAIN", domains), ...part("TARGET", targets)].join(" ");
}

function unknownCommand(word: string | undefined): Usage {
  if (word === undefined) return new Usage("no command");
  const meant = nearest(word, verbs);
  return new Usage(
    `unknown command ${quoted(word)}, ` +
      (meant ? `did you mean ${quoted(meant)}? There are ` : "there are ") + listed(verbs),
  );
}
