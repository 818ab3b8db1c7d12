/** Reads XML in a thread of its own, which {@link ../domain_xml.ts} replaces from time to time. */

import { type DomainDisk, parseDisks } from "../../lib/input/domain_xml.ts";
import { checkUserError } from "./assert_message.ts";

/** The disks, null if the text is refused, or how a promise is broken. */
export type Reading = { readonly disks: readonly DomainDisk[] | null } | { readonly broken: string };

function read(xml: string): Reading {
  try {
    return { disks: parseDisks(xml) };
  } catch (error) {
    try {
      checkUserError(error, "standard input");
      return { disks: null };
    } catch (broken) {
      return { broken: String(broken) };
    }
  }
}

// deno-lint-ignore no-explicit-any
const thread = self as any;
thread.onmessage = ({ data }: MessageEvent<string>) => thread.postMessage(read(data));
