/** Which files of a domain's XML hold its firmware's state. */

import { assertEquals } from "@std/assert";
import { parseDisks } from "../lib/input/domain_xml.ts";

const UUID = "7c6d2d80-9d4e-4c9b-9a35-0c2d6f0a4a11";

/** The files of a domain with this `<os>` and these devices, by target. */
function files(os: string, devices = ""): Record<string, string | undefined> {
  const xml =
    `<domain><name>win11</name><uuid>${UUID}</uuid><os>${os}</os><devices>${devices}</devices></domain>`;
  return Object.fromEntries(parseDisks(xml).map(({ target, file }) => [target, file]));
}

const tpm = (backend: string) => `<tpm model="tpm-crb">${backend}</tpm>`;

Deno.test("the file of the UEFI variables is found however libvirt writes it", () => {
  const nvram = "/var/lib/libvirt/qemu/nvram/win11 & co_VARS.fd";
  const text = nvram.replace("&", "&amp;");
  assertEquals(files(`<nvram>${text}</nvram>`), { nvram });
  assertEquals(files(`<nvram template="/usr/share/OVMF/OVMF_VARS_4M.fd">${text}</nvram>`), { nvram });
  assertEquals(files(`<nvram type="file"><source file="${text}"/></nvram>`), { nvram });
  assertEquals(files(`<nvram template="/t" format="qcow2">${text}</nvram>`), { nvram });
  assertEquals(files("<type>hvm</type>"), {});
  assertEquals(files('<nvram type="network"><source protocol="nbd"/></nvram>'), { nvram: undefined });
  assertEquals(files("<nvram/>"), { nvram: undefined });
});

Deno.test("the state of an emulated TPM is found by the guest's UUID, or where the XML says; the host's is left alone", () => {
  const folder = `/var/lib/libvirt/swtpm/${UUID}`;
  assertEquals(files("", tpm('<backend type="emulator" version="2.0"/>')), {
    tpm: `${folder}/tpm2/tpm2-00.permall`,
  });
  assertEquals(files("", tpm('<backend type="emulator"/>')), { tpm: `${folder}/tpm2/tpm2-00.permall` });
  assertEquals(files("", tpm('<backend type="emulator" version="1.2"/>')), {
    tpm: `${folder}/tpm1.2/tpm-00.permall`,
  });
  assertEquals(
    files(
      "",
      tpm('<backend type="emulator" version="2.0"><source type="dir" path="/shared/tpm"/></backend>'),
    ),
    { tpm: "/shared/tpm/tpm2-00.permall" },
  );
  assertEquals(
    files(
      "",
      tpm('<backend type="emulator" version="2.0"><source type="file" path="/shared/tpm.state"/></backend>'),
    ),
    { tpm: "/shared/tpm.state" },
  );
  assertEquals(files("", tpm('<backend type="passthrough"><device path="/dev/tpm0"/></backend>')), {});
});
