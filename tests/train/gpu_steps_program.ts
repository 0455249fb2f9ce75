/**
 * Steps of ranks that share a fake GPU, through the whole training loop: prints the copies of a steady step as JSON.
 *
 * @module
 */
import { syntheticImages } from "../../src/bench/synthetic.ts";
import { mapSharedSegment } from "../../src/base/shared_memory.ts";
import { validateConfig } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import type { Batch } from "../../src/data/loading/loader.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { makeSegment } from "../../src/exchange/open_exchange.ts";
import { makeBuffers, openExchange } from "../../src/exchange/shared_exchange.ts";
import { openReducer } from "../../src/exchange/shared_reducer.ts";
import { buildReplica } from "../../src/train/build_replica.ts";
import { type BatchSource, runEpoch } from "../../src/train/rank_epoch.ts";
import { RunPlan } from "../../src/train/run_plan.ts";
import { FakeDriver } from "../support/fake_cuda/driver.ts";
import type { DeviceRecord } from "../support/fake_cuda/record.ts";
import { LocalBus } from "../support/local_link.ts";
import { tinyConfig } from "../support/tiny_run.ts";

const SIDE = 32;
const CLASSES = 1000;
const ROWS = 8;
/** Steps of the epochs: the copies of a steady step are those of the ones that the last epoch has more. */
const EPOCHS = [1, 2, 4];

const [ranks, changes] = Deno.args;
const worldSize = Number(ranks);
const globalBatch = ROWS * worldSize;
const input = tinyConfig("/images", JSON.parse(changes ?? "{}") as Partial<ConfigInput>);
const config = validateConfig({ ...input, workers: worldSize });
await openEngine({ device: "gpu" });
const driver = new FakeDriver();

const images = syntheticImages(ROWS, SIDE);
const source: BatchSource = {
  async *batches(plan) {
    for (const { step, indices } of plan) {
      const batch: Batch = {
        step,
        images,
        labels: Int32Array.from(indices, (index) => index % CLASSES),
        indices: new Uint32Array(indices),
        height: SIDE,
        width: SIDE,
        skipped: [],
      };
      yield await Promise.resolve(batch);
    }
  },
};

const replicas = await Promise.all(
  Array.from({ length: worldSize }, () => buildReplica(config, { numClasses: CLASSES })),
);
const { vectorBytes, regions, gradientBytes } = replicas[0]!.state;
const shape = {
  ...{ worldSize, vectorBytes, regions },
  wire: { dtype: "float32", gradientBytes } as const,
};
const segment = makeSegment("shared-memory", shape, (reason) => {
  throw new Error(reason);
})!;
const map = () => mapSharedSegment(segment.path, segment.bytes);
const link = new LocalBus().link();
const reducer = await openReducer(link, shape, map());
const exchanges = await Promise.all(replicas.map(async (replica, rank) => {
  const own = { ...shape, rank };
  const buffers = makeBuffers(own, map());
  replica.state.attach(buffers);
  return await openExchange(link, { ...own, buffers });
}));
segment[Symbol.dispose]();

async function count(): Promise<DeviceRecord> {
  return (await driver.ownRecord()).devices[0]!;
}

async function trainEpoch(epoch: number, steps: number): Promise<void> {
  const counts = { train: { length: steps * globalBatch }, val: { length: 0 } };
  const plan = new RunPlan(config, counts, globalBatch);
  const trained = replicas.map((replica, rank) =>
    runEpoch(
      {
        config,
        plan,
        place: { rank, worldSize },
        replica,
        loader: source,
        exchange: exchanges[rank]!,
      },
      { epoch, startStep: 0, optimizerSteps: 0 },
      {},
    )
  );
  for (let step = 0; step < steps; step++) {
    await reducer.reduce({ epoch, step }, () => "continue");
  }
  for (const { steps: taken, notFinite } of await Promise.all(trained)) {
    if (taken !== steps) throw new Error(`${taken} of ${steps} steps, ${notFinite} not finite`);
  }
}

const counts = [await count()];
for (const [index, steps] of EPOCHS.entries()) {
  await trainEpoch(index + 1, steps);
  counts.push(await count());
}

const KEYS = [
  "copiesUp",
  "bytesUp",
  "copiesDown",
  "bytesDown",
  "copiesWithin",
  "launches",
] as const;
const [, first, second, third] = counts;
const steps = EPOCHS[2]! - EPOCHS[1]!;
const steady = Object.fromEntries(KEYS.map((key) => {
  const of = (from: DeviceRecord, to: DeviceRecord) => to[key] - from[key];
  return [key, (of(second!, third!) - of(first!, second!)) / steps / worldSize];
}));
await Promise.all(exchanges.map((exchange) => exchange.close()));
await reducer.close();
console.log(JSON.stringify({
  ...steady,
  batchBytes: images.data.length,
  vectorBytes,
  errors: (await driver.ownRecord()).errors,
}));
