/**
 * Another user of the machine, played by a program that root starts with another user's id.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createSharedSegment } from "../../src/base/shared_memory.ts";
import { startBroker, writeServerConfig } from "../../src/hosts/broker.ts";
import { natsServerProgram } from "../support/nats_server.ts";

const NOBODY = "65534";

/** Runs a program as another user; nothing where this can't be done here. */
async function asOther(...command: string[]): Promise<{ code: number; text: string } | undefined> {
  const args = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", ...command];
  try {
    const { code, stdout, stderr } = await new Deno.Command("setpriv", { args }).output();
    return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
  } catch {
    return undefined; // there is no such program
  }
}

const canBeOther = (await asOther("true"))?.code === 0;

Deno.test("another user reads neither shared memory, nor a process's environment, nor a server's settings", async () => {
  if (!canBeOther) return console.log("left out: needs root and setpriv to be another user");
  using segment = createSharedSegment("private", 4096);
  await using broker = await startBroker({ executable: await natsServerProgram() });
  const folder = await Deno.makeTempDir();
  const settings = { name: "n", host: "127.0.0.1", port: 4222, authorization: "" };
  const config = await writeServerConfig(folder, settings);
  try {
    await Deno.chmod(folder, 0o755); // the file's own mode must be enough
    const paths = [
      segment.path,
      `/proc/${Deno.pid}/environ`,
      `/proc/${broker.pid}/environ`,
      `/proc/${broker.pid}/mem`,
      config,
    ];
    for (const path of paths) {
      const { code, text } = (await asOther("cat", path))!;
      assert.notEqual(code, 0, path);
      assert.match(text, /Permission denied/, path);
    }
    const { code, text } = (await asOther("cat", `/proc/${broker.pid}/cmdline`))!;
    assert.equal(code, 0, "what they do read holds no secret");
    for (const { credentials } of Object.values(broker.users)) {
      for (const secret of Object.values(credentials)) assert.ok(!text.includes(String(secret)));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
