/** Domain XML as libvirt gives it to a hook. */

/** What is unusual about a disk. */
export interface Unusual {
  readonly type?: string;
  readonly device?: string;
  readonly format?: string;
  /** The whole `<source>`, where it isn't a file. */
  readonly source?: string;
  /** More elements. */
  readonly inside?: string;
}

export function diskXml(target: string, file: string, unusual: Unusual = {}): string {
  const {
    type = "file",
    device = "disk",
    format = "qcow2",
    source = `<source file="${escaped(file)}" index="1"/>`,
    inside = "",
  } = unusual;
  return `
    <disk type="${type}" device="${device}">
      <driver name="qemu" type="${format}"/>
      ${source}
      <target dev="${target}" bus="virtio"/>
      ${inside}
    </disk>`;
}

export function domainXml(disks: readonly string[]): string {
  return `<domain type="kvm">
  <name>guest</name>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>${disks.join("")}
  </devices>
</domain>
`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
