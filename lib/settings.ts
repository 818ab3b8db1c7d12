/** What a build fixes: the places the hook may touch. The permissions baked into the binary are made of the same values. */
export interface Settings {
  readonly version: string;
  /** Folders that may hold managed images, absolute, links resolved. */
  readonly imageFolders: readonly string[];
  /** Folders that may hold UEFI variables and TPM state; none where the build leaves firmware alone. */
  readonly firmwareFolders: readonly string[];
  /** Folder of `<domain>.json` and of the hook's own notes. */
  readonly configFolder: string;
  /** Where libvirt keeps managed saves; only looked at. */
  readonly saveFolder: string;
  /** Where libvirt keeps the definitions of domains, and the state of those that run; only read. */
  readonly definedFolder: string;
  readonly liveFolder: string;
  /** The files in which libvirt's daemons note their process; only looked at, for their age. */
  readonly daemons: readonly string[];
  readonly log: string;
  /** Paths that the program may be installed at, the usual one first: it starts its own merges. */
  readonly programs: readonly string[];
  /** Where it lies if a gate is at one of those: as `make install` puts it, and as a package does. */
  readonly gated: string;
  readonly packaged: string;
  /** Absolute path of `qemu-img`. */
  readonly qemuImg: string;
  /** Where AppArmor and SELinux note what they allow, and what they denied; only read, where it is there. */
  readonly confinement: {
    readonly appArmor: string;
    readonly seLinux: string;
    readonly seLinuxModules: string;
    readonly audit: string;
  };
  /** User id that must own the configuration: who can write it decides what root does. */
  readonly configOwner: number;
}

/** Debian's places; `make build` writes its own from `IMAGE_DIRS`, `CONFIG_DIR` and the like. */
export const defaults: Settings = {
  version: "development",
  imageFolders: ["/var/lib/libvirt/images"],
  firmwareFolders: ["/var/lib/libvirt/qemu/nvram", "/var/lib/libvirt/swtpm"],
  configFolder: "/etc/libvirt/hooks/config",
  saveFolder: "/var/lib/libvirt/qemu/save",
  definedFolder: "/etc/libvirt/qemu",
  liveFolder: "/run/libvirt/qemu",
  daemons: ["/run/libvirtd.pid", "/run/virtqemud.pid"],
  log: "/var/log/libvirt/qemu/hooks.log",
  programs: ["/etc/libvirt/hooks/qemu", "/etc/libvirt/hooks/qemu.d/autorevert"],
  gated: "/etc/libvirt/hooks/autorevert",
  packaged: "/usr/sbin/autorevert",
  qemuImg: "/usr/bin/qemu-img",
  confinement: {
    appArmor: "/etc/apparmor.d",
    seLinux: "/etc/selinux",
    seLinuxModules: "/var/lib/selinux",
    audit: "/var/log/audit/audit.log",
  },
  configOwner: 0,
};

/** Folders of which libvirt runs every executable file. */
export function foldersOfHooks({ programs }: Settings): string[] {
  return programs.map((path) => path.slice(0, path.lastIndexOf("/"))).filter((path) =>
    path.endsWith("/qemu.d")
  );
}
