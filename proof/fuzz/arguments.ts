import { assert, assertEquals } from "@std/assert";
import { parseLine, Usage } from "../../lib/command/arguments.ts";
import { checkDomainName, eventOf } from "../../lib/input/event.ts";
import { checkUserError } from "./assert_message.ts";
import { several, type Subject } from "./subject.ts";
import type { Random } from "../../tests/random.ts";

/** Arguments, joined by what can't be in one: four words of libvirt's are its event, and all else is a command or a mistake. */
export const invocation: Subject = {
  name: "arguments",
  share: 0.15,
  mutable: true,
  words: ["\0", "--", "-", "--dry-run", "--yes", "--help", "=", "prepare", "undo"],
  make: (random) => argumentsOf(random).join("\0"),
  check: async (input) => {
    const args = input === "" ? [] : input.split("\0");
    const [domain, operation, sub, extra] = args;
    const event = eventOf(args);
    if (args.length === 4 && /^(begin|end|-)$/.test(sub!) && extra !== "--dry-run") {
      assertEquals([event?.domain, event?.given, event?.extra], [domain, operation, extra]);
    }
    if (event !== undefined) {
      assertEquals(args.length, 4, "libvirt gives four words");
      checkName(event.domain);
      return "taken";
    }
    try {
      const request = await parseLine(args);
      if (request.kind === "command") assert(args.includes(request.command.verb), "a command is named");
      if (request.kind === "dry run") {
        assert(args.some((word) => word.startsWith("--dry-run")), "a dry run is asked for");
      }
      return "taken";
    } catch (error) {
      assert(error instanceof Usage, String(error));
      checkUserError(error);
      return "refused";
    }
  },
};

/** A name that is not refused stays in its folder and on its line. */
function checkName(domain: string): void {
  try {
    checkDomainName(domain);
  } catch (error) {
    checkUserError(error, "the domain is named");
    return;
  }
  assert(
    !domain.includes("/") && domain !== "." && domain !== ".." && domain !== "",
    "the name leads nowhere else",
  );
  // deno-lint-ignore no-control-regex
  assert(!/[\u0000-\u001f\u007f]/.test(domain), "the name forges no line");
}

const words = [
  ...[
    "prepare",
    "start",
    "started",
    "stopped",
    "release",
    "migrate",
    "restore",
    "reconnect",
    "attach",
    "frobnicate",
  ],
  ...[
    "begin",
    "end",
    "-",
    "shutdown",
    "destroyed",
    "saved",
    "crashed",
    "__proto__",
    "constructor",
    "toString",
  ],
  ...[
    "undo",
    "keep",
    "merge",
    "--yes",
    "-y",
    "--dry-run",
    "--dry-run=false",
    "--no-dry-run",
    "--help",
    "-h",
    "--version",
    "--",
  ],
  ...[
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "a\nb",
    "中文",
    "𝄞",
    "\ud800",
    "--=",
    "-x=1",
    "a".repeat(300),
    "undo\n",
    "%00",
  ],
];

function argumentsOf(random: Random): string[] {
  if (random.chance(0.4)) return several(random, 6, () => random.one(words));
  const event = [
    random.one(["guest", "--help", "undo", ...words]),
    random.one(words),
    random.one(["begin", "end", "-"]),
    random.one(words),
  ];
  return random.chance(0.2) ? ["--dry-run", ...event] : event;
}
