/** What the tests of packages and installations share: libvirt on the system under test, and a guest that must live. */

import { assert, assertEquals } from "@std/assert";
import { Guest, ok, type Result, run, startDaemon, stopLibvirtd, virsh } from "../e2e/libvirt.ts";

const env = ["env", "DEBIAN_FRONTEND=noninteractive"];
export const dpkg = (...args: string[]) => run(...env, "dpkg", ...args);
/** The sandbox has written a configuration of libvirt's already. */
export const apt = (...args: string[]) =>
  run(...env, "apt-get", "-y", "-q", "-o", "Dpkg::Options::=--force-confold", ...args);

/** What a command says that has to succeed. */
export async function good(command: Promise<Result>): Promise<string> {
  const { code, stdout, stderr } = await command;
  assertEquals(code, 0, stdout + stderr);
  return stdout + stderr;
}

/** What a command says that has to fail. */
export async function bad(command: Promise<Result>): Promise<string> {
  const { code, stdout, stderr } = await command;
  assert(code !== 0, stdout);
  return (stdout + stderr).replaceAll("\r\n", "\n");
}

/** libvirt, where the package didn't bring it. */
export async function installLibvirt(): Promise<void> {
  const { code } = await run("which", "libvirtd", "qemu-img");
  if (code !== 0) await good(apt("install", "libvirt-daemon-system", "qemu-utils"));
}

/** A guest without a configuration, running: none of the hook's business, and nothing may stop it. */
export class Bystander {
  private constructor(readonly name: string, readonly id: string) {}

  static async start(name: string): Promise<Bystander> {
    const guest = await Guest.define(name, { stay: true });
    await guest.start();
    return new Bystander(name, (await virsh("domid", name)).trim());
  }

  /** Whatever happened to the hook: a restart of libvirtd leaves the guest as it was. */
  async survives(): Promise<void> {
    await restart();
    assertEquals((await virsh("domid", this.name)).trim(), this.id);
    assertEquals(await this.state(), "running");
  }

  async state(): Promise<string> {
    return (await virsh("domstate", this.name)).trim();
  }
}

export async function restart(): Promise<void> {
  await stopLibvirtd();
  await startDaemon();
}

/** A folder with room for so many bytes more. */
export async function almostFull(folder: string, room: number): Promise<AsyncDisposable> {
  await ok("cp", "-a", folder, "/run/copy");
  const used = Number((await ok("du", "-s", "-B1", "/run/copy")).split("\t")[0]);
  await ok("mount", "-t", "tmpfs", "-o", `mode=755,size=${used + room}`, "tmpfs", folder);
  await ok("cp", "-a", "/run/copy/.", folder);
  await ok("rm", "-rf", "/run/copy");
  // libvirtd may run from there.
  return { [Symbol.asyncDispose]: async () => void await ok("umount", "--lazy", folder) };
}

/** A folder in which nothing can be executed. */
export async function noExecution(folder: string): Promise<AsyncDisposable> {
  await ok("mount", "--bind", folder, folder);
  await ok("mount", "-o", "remount,bind,noexec", folder);
  return { [Symbol.asyncDispose]: async () => void await ok("umount", folder) };
}
