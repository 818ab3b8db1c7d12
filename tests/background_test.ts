/** The program starts itself to merge, from where the build says that it is installed and from nowhere else. */

import { assertEquals } from "@std/assert";
import { Fixture, temporaryFolder } from "./fixture.ts";

Deno.test("a merge that may not start itself says which places are allowed", async () => {
  using fixture = new Fixture(temporaryFolder("/tmp"));
  const settings = {
    ...fixture.settings,
    programs: ["/etc/libvirt/hooks/qemu"],
    gated: "/etc/libvirt/hooks/autorevert",
    packaged: "/usr/sbin/autorevert",
  };
  const script = `${fixture.root}/script.ts`;
  Deno.writeTextFileSync(
    script,
    `import { realHost } from ${JSON.stringify(import.meta.resolve("../lib/host/real_host.ts"))};
     const host = realHost(${JSON.stringify(settings)});
     try {
       await host.perform({ kind: "background", domain: "win 10" });
     } catch (error) {
       console.log(error.message + "\\n" + error.hint);
     }`,
  );
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--allow-read",
      ...Deno.env.get("RESOLUTION")!.split(" "),
      script,
    ],
  }).output();
  assertEquals(
    new TextDecoder().decode(stdout),
    `"${script}" can't merge in the background: that can be done only by the program at "/etc/libvirt/hooks/qemu", "/etc/libvirt/hooks/autorevert", "/usr/sbin/autorevert"
merge now: ${script} merge 'win 10'
`,
  );
});
