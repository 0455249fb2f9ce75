import { hostOf } from "../../src/engine/device_memory.ts";
import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { createModel } from "../../src/models/create_model.ts";
import { bucketCuts } from "../../src/train/buckets.ts";
import { Replica, type ReplicaOptions } from "../../src/train/replica.ts";

await openEngine();

const FLOAT_BYTES = 4;
const PLACE = { seed: [9, 1], globalRows: 4, rowOffset: 0 } as const;

Deno.test("bucketCuts() fills buckets from the last gradient on, and leaves the first one for the end", () => {
  const gradients = [30, 20, 10, 0].map((position) => ({ position, size: 100 }));
  assert.deepEqual(bucketCuts(gradients, 4), [0, 10, 20]);
  assert.deepEqual(bucketCuts(gradients, 401), [10]);
  assert.deepEqual(bucketCuts(gradients, 800), [10]);
  assert.deepEqual(bucketCuts(gradients, 1201), []);
  assert.deepEqual(bucketCuts([], 4), []);
});

Deno.test("bucketCuts() cuts where all of a bucket is there, however the ops are ordered", () => {
  const of = (...positions: number[]) => positions.map((position) => ({ position, size: 1 }));
  assert.deepEqual(bucketCuts(of(9, 3, 8, 2), 4), [2, 8], "the third one comes after the second");
  assert.deepEqual(bucketCuts(of(9, 7, 7), 4), [7], "both come together");
});

function makeReplica(options: Partial<ReplicaOptions> = {}): Replica {
  const model = createModel("resnet18", { numClasses: 3, seed: 5 });
  const settings = {
    optimizer: "sgd",
    momentum: 0,
    dampening: 0,
    weightDecay: 0,
    nesterov: false,
  } as const;
  return new Replica(model, { optimizer: { settings, lr: 0.1 }, capture: true, ...options });
}

function makeBatch(rows: number, side: number) {
  const images = Float32Array.from(
    { length: rows * side * side * 3 },
    (_, at) => Math.sin(at * 12.9898),
  );
  const labels = Int32Array.from({ length: rows }, (_, row) => row % 3);
  return { images, labels, height: side, width: side };
}

interface Offer {
  readonly begin: number;
  readonly lossSum: number;
  readonly tail: Uint8Array;
}

/** Runs a step of a replica; returns its vector, and the buckets that it reported before the end. */
async function step(options: Partial<ReplicaOptions>, bucketBytes?: number) {
  using replica = makeReplica(options);
  const vector = hostOf(replica.state.buffers.vector);
  const offers: Offer[] = [];
  const early = bucketBytes === undefined ? undefined : {
    bucketBytes,
    onReady: ({ lossSum }: { lossSum: number }, begin: number) =>
      offers.push({ begin, lossSum, tail: vector.slice(FLOAT_BYTES * begin) }),
  };
  const totals = await replica.forwardBackward(makeBatch(4, 32), PLACE, early);
  return { totals, vector: vector.slice(), offers };
}

for (const accumulationSteps of [1, 2]) {
  Deno.test(`a step in buckets has the bits of a whole one, ${accumulationSteps} part(s) of a batch`, async () => {
    const whole = await step({ accumulationSteps });
    const { vector, totals, offers } = await step({ accumulationSteps }, 4_000_000);
    assert.deepEqual(vector, whole.vector);
    assert.deepEqual(totals, whole.totals);
    // The last block's convolutions have 9.4 MB each.
    assert.ok(offers.length >= 5, `${offers.length} buckets`);
    offers.forEach(({ begin, lossSum, tail }, index) => {
      assert.ok(
        begin > 0 && begin < (offers[index - 1]?.begin ?? Infinity),
        "less is left each time",
      );
      assert.equal(lossSum, totals.lossSum);
      assert.deepEqual(tail, vector.slice(FLOAT_BYTES * begin), "what was passed on was final");
    });
  });
}

for (
  const [what, options] of Object.entries(
    {
      "without capture": { capture: false },
      "with bfloat16 by the graph optimizer": { call: { precision: "bfloat16" } },
    } as const,
  )
) {
  Deno.test(`a step ${what} hands nothing on early`, async () => {
    const { offers, totals } = await step(options, 4_000_000);
    assert.deepEqual(offers, []);
    assert.ok(Number.isFinite(totals.lossSum));
  });
}
