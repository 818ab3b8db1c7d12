/** Completion scripts, made of the catalogue. Guests come from the folders, so that no process is started for them. */

import { verbs } from "../input/event.ts";
import type { Settings } from "../settings.ts";
import { commandSpecs, valued } from "./commands.ts";

/** @param shell one of the words that the command takes */
export function completion(shell: string, settings: Settings): string {
  const scripts: Readonly<Record<string, (settings: Settings) => string>> = { bash, zsh, fish };
  return scripts[shell]!(settings);
}

const options = (verb: keyof typeof commandSpecs) =>
  [...Object.keys(commandSpecs[verb].options), "help"].map((name) => `--${name}`);
const withGuests = verbs.filter((verb) => commandSpecs[verb].domains[1] > 0);
const ofOneGuest = withGuests.filter((verb) => commandSpecs[verb].domains[1] === 1);
/** Commands on disks of a guest that is configured already. */
const onListed = verbs.filter((verb) => commandSpecs[verb].targets[1] > 0 && verb !== "enable");
/** Options that take a value. */
const valuedOptions = Object.keys(valued).map((name) => `--${name}`);
const withWords = verbs.filter((verb) => commandSpecs[verb].words);

/** Prints the targets that a configuration lists, or those of a domain's XML. */
const listedIn = (file: string) => `grep -o '"target" *: *"[^"]*"' ${file} 2>/dev/null | cut -d '"' -f 4`;
const definedIn = (file: string) =>
  `grep -o '<target dev=[^ /]*' ${file} 2>/dev/null | cut -c 14- | tr -d "\\"'"`;

function bash({ configFolder, definedFolder }: Settings): string {
  return `# bash completion for autorevert
_autorevert() {
  local current=\${COMP_WORDS[COMP_CWORD]} verb=\${COMP_WORDS[1]} words= folder=${configFolder} suffix=json
  if [ "$COMP_CWORD" = 1 ]; then
    words='${verbs.join(" ")} --help --version'
  else
    case $verb in
${
    verbs.map((verb) =>
      `      ${verb}) words='${[...options(verb), ...commandSpecs[verb].words ?? []].join(" ")}' ;;`
    ).join("\n")
  }
    esac
    local word before= guest=
    for word in "\${COMP_WORDS[@]:2:COMP_CWORD-2}"; do
      [[ $word == -* || $before == @(${valuedOptions.join("|")}) || -n $guest ]] || guest=\${word//\\\\/}
      before=$word
    done
    if [[ $before == @(${valuedOptions.join("|")}) ]]; then COMPREPLY=(); return; fi
    [[ -z $guest ]] || case $verb in
      enable) words+=" $(${definedIn(`"${definedFolder}/$guest.xml"`)})" ;;
      ${onListed.join(" | ")}) words+=" $(${listedIn(`"${configFolder}/$guest.json"`)})" ;;
    esac
    [[ $current == -* ]] || [[ -n $guest && " ${ofOneGuest.join(" ")} " == *" $verb "* ]] || case $verb in
      ${withGuests.join(" | ")})
        if [ "$verb" = enable ]; then folder=${definedFolder} suffix=xml; fi
        local path
        COMPREPLY=()
        for path in "$folder"/*."$suffix"; do
          path=\${path##*/}
          path=\${path%.$suffix}
          if [[ $path == "$current"* && $path != '*' ]]; then COMPREPLY+=("$(printf %q "$path")"); fi
        done
        return ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _autorevert autorevert`;
}

function zsh({ configFolder, definedFolder }: Settings): string {
  const quoted = (text: string) => text.replaceAll("'", "'\\''").replaceAll(":", "\\:");
  return `#compdef autorevert
_autorevert() {
  local -a verbs guests
  verbs=(
${verbs.map((verb) => `    '${verb}:${quoted(commandSpecs[verb].summary)}'`).join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe command verbs
    compadd -- --help --version
    return
  fi
  case $words[2] in
${
    verbs.map((verb) =>
      `    ${verb}) compadd -- ${[...options(verb), ...commandSpecs[verb].words ?? []].join(" ")} ;;`
    ).join("\n")
  }
  esac
  local -a before=(\${words[3,CURRENT-1]})
  local option at
  for option in ${valuedOptions.join(" ")}; do
    if [[ $before[-1] == $option ]]; then return; fi
    at=\${before[(i)$option]}
    before[at,at+1]=()
  done
  local guest=\${(Q)\${before:#-*}[1]}
  if [[ -n $guest && " ${ofOneGuest.join(" ")} " == *" $words[2] "* ]]; then
    case $words[2] in
      enable) compadd -- $(${definedIn(`"${definedFolder}/$guest.xml"`)}) ;;
      ${onListed.join(" | ")}) compadd -- $(${listedIn(`"${configFolder}/$guest.json"`)}) ;;
    esac
    return
  fi
  case $words[2] in
    enable) guests=(${definedFolder}/*.xml(N:t:r)) ;;
    ${withGuests.filter((verb) => verb !== "enable").join(" | ")}) guests=(${configFolder}/*.json(N:t:r)) ;;
  esac
  compadd -a guests
}
if [ "$funcstack[1]" = _autorevert ]; then _autorevert "$@"; else compdef _autorevert autorevert; fi`;
}

function fish({ configFolder, definedFolder }: Settings): string {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const seen = (verb: string) => `-n '__fish_seen_subcommand_from ${verb}'`;
  const guests = (folder: string, suffix: string) =>
    `-a '(path basename ${folder}/*.${suffix} | path change-extension "")'`;
  // The words before this one: the program, the command, and a guest.
  const when = (verb: string, has: "needs" | "has") =>
    `-n '__fish_seen_subcommand_from ${verb}; and __autorevert_${has}_guest'`;
  const targets = (verb: string) => verb === "enable" ? "defined" : "listed";
  return [
    "# fish completion for autorevert",
    "function __autorevert_words; set -l words (commandline -opc)",
    `  for option in ${valuedOptions.join(" ")}; set -l at (contains -i -- $option $words)`,
    "    and set -e words[$at..(math $at + 1)]; end",
    "  string match -v -- '-*' $words; end",
    "function __autorevert_has_guest; test (count (__autorevert_words)) -gt 2; end",
    "function __autorevert_needs_guest; not __autorevert_has_guest; end",
    "function __autorevert_listed; set -l words (__autorevert_words)",
    `  ${listedIn(`${configFolder}/$words[3].json`)}; end`,
    "function __autorevert_defined; set -l words (__autorevert_words)",
    `  ${definedIn(`${definedFolder}/$words[3].xml`)}; end`,
    "complete -c autorevert -f",
    ...verbs.map((verb) =>
      `complete -c autorevert -n __fish_use_subcommand -a ${verb} -d ${quoted(commandSpecs[verb].summary)}`
    ),
    ...["help", "version"].map((option) => `complete -c autorevert -n __fish_use_subcommand -l ${option}`),
    ...verbs.flatMap((verb) =>
      Object.entries({ ...commandSpecs[verb].options, help: "what it does" }).map(([option, does]) =>
        `complete -c autorevert ${seen(verb)} -l ${option} ${Object.hasOwn(valued, option) ? "-x " : ""}-d ${
          quoted(does)
        }`
      )
    ),
    ...withWords.map((verb) =>
      `complete -c autorevert ${seen(verb)} -a '${commandSpecs[verb].words!.join(" ")}'`
    ),
    ...withGuests.map((verb) =>
      `complete -c autorevert ${ofOneGuest.includes(verb) ? when(verb, "needs") : seen(verb)} ${
        verb === "enable" ? guests(definedFolder, "xml") : guests(configFolder, "json")
      }`
    ),
    ...["enable" as const, ...onListed].map((verb) =>
      `complete -c autorevert ${when(verb, "has")} -a '(__autorevert_${targets(verb)})'`
    ),
  ].join("\n");
}
