/** Completion scripts, made of the catalogue. Guests come from the folders, so that no process is started for them. */

import { verbs } from "../invocation.ts";
import type { Settings } from "../settings.ts";
import { catalogue } from "./catalogue.ts";

/** @param shell one of the words that the command takes */
export function completion(shell: string, settings: Settings): string {
  const scripts: Readonly<Record<string, (settings: Settings) => string>> = { bash, zsh, fish };
  return scripts[shell]!(settings);
}

const options = (verb: keyof typeof catalogue) =>
  [...Object.keys(catalogue[verb].options), "help"].map((name) => `--${name}`);
const withGuests = verbs.filter((verb) => catalogue[verb].domains[1] > 0);
const withWords = verbs.filter((verb) => catalogue[verb].words);

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
      `      ${verb}) words='${[...options(verb), ...catalogue[verb].words ?? []].join(" ")}' ;;`
    ).join("\n")
  }
    esac
    [[ $current == -* ]] || case $verb in
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
${verbs.map((verb) => `    '${verb}:${quoted(catalogue[verb].summary)}'`).join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe command verbs
    compadd -- --help --version
    return
  fi
  case $words[2] in
${
    verbs.map((verb) =>
      `    ${verb}) compadd -- ${[...options(verb), ...catalogue[verb].words ?? []].join(" ")} ;;`
    ).join("\n")
  }
  esac
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
  return [
    "# fish completion for autorevert",
    "complete -c autorevert -f",
    ...verbs.map((verb) =>
      `complete -c autorevert -n __fish_use_subcommand -a ${verb} -d ${quoted(catalogue[verb].summary)}`
    ),
    ...["help", "version"].map((option) => `complete -c autorevert -n __fish_use_subcommand -l ${option}`),
    ...verbs.flatMap((verb) =>
      Object.entries({ ...catalogue[verb].options, help: "what it does" }).map(([option, does]) =>
        `complete -c autorevert ${seen(verb)} -l ${option} -d ${quoted(does)}`
      )
    ),
    ...withWords.map((verb) =>
      `complete -c autorevert ${seen(verb)} -a '${catalogue[verb].words!.join(" ")}'`
    ),
    ...withGuests.map((verb) =>
      `complete -c autorevert ${seen(verb)} ${
        verb === "enable" ? guests(definedFolder, "xml") : guests(configFolder, "json")
      }`
    ),
  ].join("\n");
}
