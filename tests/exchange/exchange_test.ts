import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import {
  contribution,
  floatsOf,
  openBench,
  reference,
  takeStep,
} from "../support/exchange_bench.ts";
import { HOST_EXCHANGES } from "../support/exchanges.ts";
import { startPlainRig, startPlainServer, startRig } from "../support/nats_server.ts";
import { testContract } from "./contract.ts";

for (const kind of HOST_EXCHANGES) {
  testContract(kind, "a server", startRig);

  Deno.test(`steps go on when the server was killed and started again (${kind})`, async () => {
    await using rig = await startPlainRig();
    const port = Number(new URL(rig.server.url.replace("nats:", "http:")).port);
    await using bench = await openBench(rig, kind, { worldSize: 2 });
    const steps = 40;
    const restart = (async () => {
      await delay(300);
      await rig.server[Symbol.asyncDispose]();
      await delay(300);
      return await startPlainServer("", port);
    })();
    const rank = async (own: number) => {
      const sums: Uint8Array[] = [];
      for (let step = 0; step < steps; step++) {
        const { vector } = await takeStep(bench.ranks[own], contribution(own, step, 4));
        sums.push(vector);
      }
      return sums;
    };
    const reduce = async () => {
      for (let step = 0; step < steps; step++) {
        await bench.reducer.reduce({ epoch: 1, step }, () => "continue");
      }
    };
    const [first, second] = await Promise.all([rank(0), rank(1), reduce()]);
    for (const step of first.keys()) {
      const contributions = [0, 1].map((own) => contribution(own, step, 4));
      assert.deepEqual(floatsOf(first[step]), reference(contributions));
      assert.deepEqual(first[step], second[step]);
    }
    const { unsigned, replayed, version, malformed } = bench.coordinator.refused;
    assert.deepEqual([unsigned, replayed, version, malformed], [0, 0, 0, 0], "nobody is blamed");
    rig.server = await restart;
  });
}
