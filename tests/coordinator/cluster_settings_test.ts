import assert from "node:assert/strict";
import {
  clusterSettings,
  exchangeSettings,
  serverSettings,
} from "../../src/coordinator/preparation/cluster_settings.ts";

Deno.test("a cluster's settings are derived from a config, and nothing else of it", () => {
  const liveness = {} as Parameters<typeof clusterSettings>[0]["liveness"];
  const engine = { threadsPerWorker: 3 } as Parameters<typeof clusterSettings>[0]["engine"];
  const server = { url: "nats://h", ca: undefined, port: undefined, program: undefined };
  assert.deepEqual(
    clusterSettings({ name: "n", workers: 1, liveness, engine }, server, {
      devices: [{ kind: "cpu" }],
      libraryPath: "/lib/tf.so",
    }),
    {
      ...{ name: "n", workers: 1, threads: 3, liveness, server },
      ...{ devices: [{ kind: "cpu" }], libraryPath: "/lib/tf.so" },
    },
  );
  const nats = { port: 4222, gradientDtype: "bfloat16" } as Parameters<typeof serverSettings>[0];
  const own = serverSettings(nats, "/bin/nats-server");
  assert.deepEqual([own.port, own.program, own.foreign], [4222, "/bin/nats-server", undefined]);
  const vectors = { vectorBytes: 64, regions: 2, gradientBytes: 32 };
  assert.deepEqual(
    exchangeSettings({ exchange: "auto", nats }, vectors),
    { kind: "auto", dtype: "bfloat16", ...vectors },
  );
});
