import * as z from "zod/mini";
import { MOST_KEPT } from "./limits.ts";

const MASTER = 'an absolute path such as "/var/lib/libvirt/images/lab.img"';
const KEEP = `a whole number from 0 to ${MOST_KEPT}`;

/** One entry of `disks`. */
const disk = z.strictObject({
  target: z.string().check(
    z.regex(/^[^\s/]+$/, { error: 'a target such as "vda"' }),
    z.describe("The disk's target in the domain's XML, such as vda: <target dev='vda'/>"),
  ),
  "one-shot-commit": z.optional(
    z.boolean().check(
      z.describe(
        "true keeps the changes of one session: they become part of the disk when it ends, and this goes back to false",
      ),
    ),
  ),
  "keep-commits": z.optional(
    z.int({ error: KEEP }).check(
      z.minimum(0, { error: KEEP }),
      z.maximum(MOST_KEPT, { error: KEEP }),
      z.describe("Number of newest commits kept unmerged, which can be undone: autorevert undo"),
    ),
  ),
  "keep-session": z.optional(
    z.boolean().check(
      z.describe(
        "true sets every ended session aside until the guest is up again: autorevert keep makes it a commit",
      ),
    ),
  ),
  master: z.optional(
    z.string({ error: MASTER }).check(
      z.regex(/^\/[^\0]*$/, { error: MASTER }),
      z.describe(
        "Image of another guest that this disk, a seat, begins with at every start; what is kept of it is committed there",
      ),
    ),
  ),
  preview: z.optional(
    z.boolean().check(
      z.describe("true has a seat take each commit of its master, whatever is published"),
    ),
  ),
  publish: z.optional(
    z.enum(["by hand", "at once"], { error: '"by hand" or "at once"' }).check(
      z.describe(
        '"by hand" has seats take a commit of this disk only when it is published: autorevert publish',
      ),
    ),
  ),
});

/** A guest's configuration file. The JSON schema for editors is made of it. */
export const schema = z.strictObject({
  $schema: z.optional(z.string().check(z.describe("Where editors find this schema"))),
  disks: z.array(disk).check(
    z.minLength(1, { error: "at least one disk" }),
    z.describe(
      "The disks that go back to their state at every start; a disk that is not listed is never touched",
    ),
  ),
  firmware: z.optional(
    z.boolean().check(
      z.describe("true has UEFI variables and TPM state go back, and be kept, with the disks"),
    ),
  ),
});

export type Configuration = z.infer<typeof schema>;
