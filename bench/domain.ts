/** The XML of a desktop guest, as libvirt 9.0 gives it to `prepare`. */

export function domainXml(name: string, images: readonly string[]): string {
  return `<domain type='qemu' id='1'>
  <name>${name}</name>
  <uuid>646e1722-5691-4d23-b57a-7792f9874596</uuid>
  <title>Pool desktop 7</title>
  <memory unit='KiB'>2097152</memory>
  <currentMemory unit='KiB'>2097152</currentMemory>
  <vcpu placement='static'>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <boot dev='hd'/>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <cpu mode='host-model' check='partial'/>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
${images.map(disk).join("")}    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <target dev='sda' bus='sata'/>
      <readonly/>
      <address type='drive' controller='0' bus='0' target='0' unit='0'/>
    </disk>
    <controller type='usb' index='0' model='qemu-xhci'>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
    </controller>
    <controller type='sata' index='0'>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x1f' function='0x2'/>
    </controller>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='virtio-serial' index='0'>
      <address type='pci' domain='0x0000' bus='0x03' slot='0x00' function='0x0'/>
    </controller>
${[1, 2, 3, 4, 5, 6, 7].map(rootPort).join("")}    <interface type='user'>
      <mac address='52:54:00:ba:cd:2c'/>
      <model type='virtio'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </interface>
    <channel type='unix'>
      <target type='virtio' name='org.qemu.guest_agent.0'/>
      <address type='virtio-serial' controller='0' bus='0' port='1'/>
    </channel>
    <input type='tablet' bus='usb'>
      <address type='usb' bus='0' port='1'/>
    </input>
    <input type='mouse' bus='ps2'/>
    <input type='keyboard' bus='ps2'/>
    <graphics type='vnc' port='-1' autoport='yes'>
      <listen type='address'/>
    </graphics>
    <audio id='1' type='none'/>
    <video>
      <model type='virtio' heads='1' primary='yes'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x0'/>
    </video>
    <memballoon model='virtio'>
      <address type='pci' domain='0x0000' bus='0x05' slot='0x00' function='0x0'/>
    </memballoon>
    <rng model='virtio'>
      <backend model='random'>/dev/urandom</backend>
      <address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x0'/>
    </rng>
  </devices>
</domain>
`;
}

function rootPort(index: number): string {
  const place = `function='0x${index - 1}'${index === 1 ? " multifunction='on'" : ""}`;
  return `    <controller type='pci' index='${index}' model='pcie-root-port'>
      <model name='pcie-root-port'/>
      <target chassis='${index}' port='0x1${index - 1}'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' ${place}/>
    </controller>
`;
}

function disk(image: string, index: number): string {
  return `    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
      <source file='${image}'/>
      <target dev='${target(index)}' bus='virtio'/>
      <address type='pci' domain='0x0000' bus='0x${
    (index + 4).toString(16).padStart(2, "0")
  }' slot='0x00' function='0x0'/>
    </disk>
`;
}

/** vda, …, vdz, vdaa, … */
export function target(disk: number): string {
  const letter = (number: number) => String.fromCharCode(97 + number);
  return `vd${disk < 26 ? "" : letter(Math.floor(disk / 26) - 1)}${letter(disk % 26)}`;
}
