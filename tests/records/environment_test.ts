import assert from "node:assert/strict";
import { join } from "node:path";
import { describeEnvironment, writeEnvironment } from "../../src/records/environment.ts";

Deno.test("describeEnvironment() tells versions, machine and command line, and no passwords", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const environment = await describeEnvironment({
      workers: 2,
      threadsPerWorker: 1,
      devices: ["CPU:0", "CPU:0"],
      tensorflow: "2.99.0",
      commandLine: ["train", "--nats", "nats://me:secret@host:4222", "--workers=2"],
    });
    await writeEnvironment(folder, environment);
    const text = await Deno.readTextFile(join(folder, "environment.json"));
    assert.deepEqual(JSON.parse(text), environment);
    assert.doesNotMatch(text, /secret/);
    assert.deepEqual(environment.commandLine, [
      "train",
      "--nats",
      "nats://***@host:4222",
      "--workers=2",
    ]);
    assert.equal(environment.deno, Deno.version.deno);
    assert.equal(environment.tensorflow, "2.99.0");
    assert.equal(environment.os.name, Deno.build.os);
    assert.ok(environment.cpu.cores >= 1);
    assert.ok(environment.memory.total > environment.memory.available);
    assert.match(environment.lockstep.version, /^\d+\.\d+\.\d+/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
