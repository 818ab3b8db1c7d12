/**
 * What `virsh dumpxml` of libvirt 11.3 says of varied guests, and libvirt's own file of a guest that runs. libvirt 9.0 says
 * the same of disks.
 */

import { assertEquals } from "@std/assert";
import { parseDisks } from "../lib/input/domain_xml.ts";

const images = "/var/lib/libvirt/images";
const hidden = "its XML has an explicit <backingStore>, which would hide the overlay's backing file";
const raw = 'its driver type is "raw", only "qcow2" can be managed';
const ofType = (type: string) => `it is of type "${type}", only type "file" can be managed`;

type Disk = readonly [
  target: string,
  file: string | undefined,
  unfit?: string | undefined,
  backing?: string | undefined,
];

const other: readonly Disk[] = [
  ["sdc", "cd.iso", "it is a cdrom, only a disk can be managed"],
  ["sdd", undefined, "it is a cdrom, only a disk can be managed"],
  ["vdc", "data.raw", raw],
  ["vdd", "on.qcow2", hidden, "plain.qcow2"],
  ["fda", "floppy.img", "it is a floppy, only a disk can be managed"],
];
const files = [["sda", "scsi.qcow2"], ["sdb", "sata.qcow2"], ["vdb", "中文.qcow2"], [
  "sde",
  "usb.qcow2",
]] as const;
const vda = "a b & 'c' <d>.qcow2";

/** Of a guest that runs libvirt tells the backing chain, also where there is none. */
const running = files.map(([target, file]): Disk => [target, file, hidden]);
const snapshot: Disk = ["vda", "vda.snap", hidden, vda];

const guests: Readonly<Record<string, readonly Disk[]>> = {
  "varied": [...files, ["vda", vda], ...other],
  "varied-running": [...running, ["vda", vda, hidden], ...other],
  "varied-snapshot": [...running, snapshot, ...other],
  "varied-status": [...running, snapshot, ...other],
  "remote": [
    ["vda", undefined, ofType("nvme")],
    ["vdb", undefined, ofType("network")],
    ["vdc", undefined, ofType("block")],
    ["vdd", undefined, ofType("volume")],
    ["vde", "x.qcow2", "it is encrypted"],
    ["vdf", "data.raw", raw],
    ["vdg", "t.qcow2", "it is transient"],
    ["vdh", undefined, ofType("vhostuser")],
    ["sda", undefined, "it is a lun, only a disk can be managed"],
  ],
};

const byTarget = (one: Disk, two: Disk) => one[0] < two[0] ? -1 : 1;

for (const [name, expected] of Object.entries(guests)) {
  Deno.test(`the disks of the guest ${name} are read`, () => {
    const xml = Deno.readTextFileSync(new URL(`domains/libvirt-11.3-${name}.xml`, import.meta.url));
    const inFolder = (path: string | undefined) => path?.replace(`${images}/`, "");
    const disks = parseDisks(xml).map(({ target, file, backing, unfit }) =>
      [target, inFolder(file), unfit?.reason, inFolder(backing)] as const
    );
    const full = expected.map(([target, file, unfit, backing]) => [target, file, unfit, backing] as const);
    assertEquals(disks.toSorted(byTarget), full.toSorted(byTarget));
  });
}
