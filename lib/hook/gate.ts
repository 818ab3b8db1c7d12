/**
 * The gate: a script that libvirt may call in the program's place. Most events ask for nothing, and a shell says so in a
 * tenth of the time that the program needs to begin.
 *
 * It leaves only where `filter.ts` would, or ends a start as `hook.ts` does; in doubt the program is asked.
 *
 * Where its program is gone it leaves at once, but for the start of a guest whose disks need that.
 */

import type { Settings } from "../settings.ts";

const MARK = "# The gate of autorevert: ";

/** Whether a hook is a gate, of this build or another. */
export function isGate(text: string): boolean {
  return text.startsWith(`#!/bin/sh\n${MARK}`);
}

export function gate({ configFolder, liveFolder, gated, packaged }: Settings): string {
  return `#!/bin/sh
${MARK}leaves where there is nothing to do, and asks the program in doubt.
LC_ALL=C
config=${configFolder}

absent() { # whether there is none of these files
  [ -d "$config" ] || return 1
  for file; do
    if [ -e "$file" ] || [ -L "$file" ]; then return 1; fi
    # A failing disk has another answer.
    case $(exec 2>&1; true < "$file") in *[Nn]o\\ such\\ file*) ;; *) return 1 ;; esac
  done
}

up() { # the start is over, and so is the word for it, with who noted it; a line below that is the program's
  { read -r word by && ! read -r more && [ -z "$more" ]; } 2>/dev/null < "$1" || return 1
  case $word in *[!a-z]* | '') return 1 ;; esac
  case $by in [!0-9]*) return 1 ;; esac
  rm -f "$1" 2>/dev/null
}

settled() { # whether nothing is to be copied aside of what libvirt has made for this start
  { read -r line && while read -r line; do [ "$line" != firmware ] || return 1; done; } 2>/dev/null < "$1"
}

ran() { # libvirt's file of a guest that has ended doesn't say that it was paused, or in post-copy
  { while read -r line; do
    case $line in "<domstatus "*) break ;; esac
  done } 2>/dev/null < "$1"
  case $line in *" state='paused' "* | *" reason='post-copy"*) return 1 ;; esac
}

nothing_to_do() { # DOMAIN OPERATION SUB-OPERATION EXTRA
  [ $# = 4 ] && [ "$4" != --dry-run ] || return 1
  case $3 in begin | end | -) ;; *) return 1 ;; esac
  [ "$2" != attach ] || return 0
  case $1 in [!A-Za-z0-9]* | *[!A-Za-z0-9._@+-]* | '') return 1 ;; esac
  case $2 in
    prepare | release | migrate | restore) absent "$config/$1.json" "$config/$1.session" "$config/$1.seats" ;;
    stopped) absent "$config/$1.session" "$config/$1.seats" || ran "${liveFolder}/$1.xml" ;;
    start) absent "$config/$1.starting" || settled "$config/$1.starting" ;;
    started | reconnect) absent "$config/$1.starting" || up "$config/$1.starting" ;;
    *) return 1 ;;
  esac
}

if nothing_to_do "$@"; then exit 0; fi

for program in ${gated} ${packaged}; do
  if [ -e "$program" ]; then break; fi
done
if ! [ -e "$program" ]; then
  if [ "$2" != prepare ]; then exit 0; fi
  for file in "$config/$1.session" "$config/$1.seats" "$config/$1.json"; do
    if ! [ -e "$file" ] && ! [ -L "$file" ]; then continue; fi
    echo "error: disks of this guest need autorevert, as $file says, and there is neither ${gated} nor ${packaged}" >&2
    case $file in
      *.json) echo "hint: install autorevert again; to start the guest on the disks themselves: mv '$file' '$file.off'" >&2 ;;
      *) echo "hint: install autorevert again" >&2 ;;
    esac
    exit 1
  done
  exit 0
fi
if [ "$0" = "$program" ]; then
  echo "error: $program is a copy of the hook, where the program should be" >&2
  echo "hint: install autorevert again" >&2
  if [ "$2" = reconnect ]; then exit 0; fi
  exit 1
fi
# libvirt stops a running guest if its hook fails here.
if [ "$2" = reconnect ]; then
  "$program" "$@"
  exit 0
fi
exec "$program" "$@"
`;
}
