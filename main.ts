import { isNoop } from "./lib/hook/filter.ts";
import { type Event, eventOf } from "./lib/input/event.ts";
import { defaults, type Settings } from "./lib/settings.ts";

/** The program, for the places that a build fixes. Whatever an event doesn't need is not even loaded. */
export async function main(settings: Settings): Promise<never> {
  const event = eventOf(Deno.args);
  if (event !== undefined && isNoop(event, settings)) Deno.exit(0);
  const { handle, realHost } = await import("./lib/hook/hook.ts");
  const host = realHost(settings);
  if (event !== undefined) Deno.exit(await handle(event, host));

  const { runCommand } = await import("./lib/command/run.ts");
  const { realTerminal } = await import("./lib/command/terminal.ts");
  const dry = (event: Event) => handle(event, { ...host, log: () => {}, show: (line) => console.log(line) });
  Deno.exit(await runCommand(Deno.args, host, realTerminal(), dry));
}

if (import.meta.main) await main(defaults);
