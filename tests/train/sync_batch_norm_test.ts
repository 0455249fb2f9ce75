import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomStream } from "../../src/base/random.ts";
import { floatsOf } from "../../src/base/float_range.ts";
import { hostOf } from "../../src/engine/device_memory.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { adaptLayers } from "../../src/models/adapt_layers.ts";
import { weightedSum } from "../../src/exchange/weighted_sum.ts";
import { createModel } from "../../src/models/create_model.ts";
import type { LabelledImages } from "../../src/train/labelled_images.ts";
import { Replica, type ReplicaOptions } from "../../src/train/replica.ts";
import type { MomentMeeting } from "../../src/train/moment_exchange.ts";
import type { LocalTotals } from "../../src/train/step_sums.ts";
import { relativeDifference } from "../support/tiny_run.ts";
import { smallSums } from "../support/small_sums.ts";

await openEngine();

const CLASSES = 3;
const SIDE = 32;
/** Small: ReLUs near 0 turn roundings into other gradients, which a large rate lets grow from step to step. */
const RATE = 1e-6;

type Sum = "lossSum" | "weight" | "correct" | "statisticsRows";

/** The model of ranks, and their learning rate. */
interface RanksOptions {
  readonly rate?: number;
  readonly model?: () => tf.LayersModel;
}

function resnet18(): tf.LayersModel {
  return createModel("resnet18", { numClasses: CLASSES, seed: 5 });
}

/** Ranks that train one model together, each with its share of every batch. */
class Ranks implements Disposable {
  readonly replicas: readonly Replica[];
  readonly #sums: readonly MomentMeeting[];
  readonly #rate: number;
  #steps = 0;

  constructor(
    count: number,
    { rate = RATE, model = resnet18, ...options }: Partial<ReplicaOptions> & RanksOptions = {},
  ) {
    this.#rate = rate;
    this.#sums = smallSums(count).map((sums, rank) => ({ ...sums, rank, worldSize: count }));
    this.replicas = Array.from(
      { length: count },
      () => new Replica(model(), { optimizer: OPTIMIZER, capture: true, ...options }),
    );
  }

  /**
   * Takes a step on rows that are shared out.
   *
   * @param bucketBytes Let gradients leave the step early
   */
  async step(rows: readonly number[], shares: readonly number[], bucketBytes = 0) {
    let begin = 0;
    const totals = await Promise.all(this.replicas.map(async (replica, rank) => {
      const own = rows.slice(begin, begin += shares[rank]);
      const place = {
        seed: [this.#steps, 1],
        globalRows: rows.length,
        rowOffset: begin - own.length,
      } as const;
      const early = bucketBytes > 0 ? { bucketBytes, onReady: () => {} } : undefined;
      // Ranks at one time set the step's seed for each other: nothing here draws.
      const meeting = this.replicas.length === 1 ? undefined : this.#sums[rank];
      return await replica.forwardBackward(batchOf(own), place, early, meeting);
    }));
    await this.#update(totals);
    return totals;
  }

  /** Runs forward and backward alone; returns the vectors. */
  async compute(batches: readonly LabelledImages[]): Promise<Float32Array[]> {
    const place = { seed: [0, 1], globalRows: 6, rowOffset: 0 } as const;
    await Promise.all(
      this.replicas.map((replica, rank) =>
        replica.forwardBackward(batches[rank], place, undefined, this.#sums[rank])
      ),
    );
    return this.replicas.map(({ state }) => floatsOf(hostOf(state.buffers.vector)).slice());
  }

  /** As an exchange sums, and as a rank updates. */
  async #update(totals: readonly LocalTotals[]): Promise<void> {
    const sumOf = (key: Sum) => totals.reduce((sum, own) => sum + own[key], 0);
    const [weight, rows] = [sumOf("weight"), sumOf("statisticsRows")];
    const vectors = this.replicas.map(({ state }) => floatsOf(hostOf(state.buffers.vector)));
    const { state } = this.replicas[0];
    const border = state.gradientBytes / 4;
    const sum = new Float32Array(vectors[0].length);
    const parts = [
      { range: [0, border], weights: totals.map((own) => own.weight / (weight || 1)) },
      {
        range: [border, sum.length],
        weights: totals.map((own) => own.statisticsRows / (rows || 1)),
      },
    ];
    for (const { range: [from, to], weights } of parts) {
      const senders = [...weights.keys()].filter((rank) => weights[rank] > 0);
      weightedSum(
        sum.subarray(from, to),
        senders.map((rank) => vectors[rank].subarray(from, to)),
        senders.map((rank) => weights[rank]),
      );
    }
    this.#steps++;
    for (const replica of this.replicas) {
      floatsOf(hostOf(replica.state.buffers.reduced)).set(sum);
      await replica.step({
        rates: [this.#rate],
        step: this.#steps,
        squares: 0,
        learns: weight > 0,
        hasStatistics: rows > 0,
      });
    }
  }

  /** Parameters and running statistics of a rank. */
  values(rank = 0): Float32Array {
    const { parameters } = this.replicas[rank].state;
    const all = new Float32Array(parameters.reduce((sum, { variable }) => sum + variable.size, 0));
    let at = 0;
    for (const { variable } of parameters) {
      all.set(variable.dataSync(), at);
      at += variable.size;
    }
    return all;
  }

  [Symbol.dispose](): void {
    for (const replica of this.replicas) replica[Symbol.dispose]();
  }
}

const OPTIMIZER: ReplicaOptions["optimizer"] = {
  settings: {
    optimizer: "sgd",
    momentum: 0.9,
    dampening: 0,
    nesterov: false,
    weightDecay: 1e-4,
  },
  lr: RATE,
  groups: [],
};

/** Images of the data set's rows, each with its label. */
function batchOf(rows: readonly number[]): LabelledImages {
  const size = SIDE * SIDE * 3;
  const images = new Float32Array(rows.length * size);
  rows.forEach((row, index) => {
    const next = randomStream(row, "image");
    for (let at = 0; at < size; at++) {
      images[index * size + at] = 3 * next() - 1.5 + (row % CLASSES) * Math.sin(at / 50);
    }
  });
  const labels = Int32Array.from(rows, (row) => row % CLASSES);
  return { images, labels, height: SIDE, width: SIDE };
}

/** Rows of a step's batch. */
function rowsOf(step: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => (step * count + index) % 48);
}

/** Largest difference of two states, in units of the larger magnitude or of 1. */
function difference(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((most, value, at) => {
    const error = Math.abs(value - b[at]) / Math.max(1, Math.abs(b[at]));
    return Number.isNaN(error) ? Infinity : Math.max(most, error);
  }, 0);
}

Deno.test("4 workers with 4 samples each train as 1 with 16: resnet18, 20 steps", async () => {
  using one = new Ranks(1);
  using four = new Ranks(4);
  for (let step = 0; step < 20; step++) {
    const rows = rowsOf(step, 16);
    await one.step(rows, [16]);
    await four.step(rows, [4, 4, 4, 4]);
  }
  const error = relativeDifference(four.values(), one.values());
  assert.ok(error < 1e-5, `${error}`);
  const [last, first] = [four.values(3), four.values(0)].map(({ buffer }) => Buffer.from(buffer));
  assert.ok(last.equals(first), "equal bits on all ranks");
});

/** A network of a user's own with stock BatchNorm on maps, whose channels may be in front, and on features. */
function ownModel(channelsFirst = false): tf.LayersModel {
  const model = tf.sequential();
  const kernel = (seed: number) => tf.initializers.glorotUniform({ seed });
  for (
    const layer of [
      tf.layers.inputLayer({ inputShape: [SIDE, SIDE, 3] }),
      tf.layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, kernelInitializer: kernel(1) }),
      tf.layers.batchNormalization(),
      ...(channelsFirst
        ? [
          tf.layers.permute({ dims: [3, 1, 2] }),
          tf.layers.batchNormalization({ axis: 1 }),
          tf.layers.permute({ dims: [2, 3, 1] }),
        ]
        : [tf.layers.batchNormalization()]),
      tf.layers.activation({ activation: "tanh" }),
      tf.layers.globalAveragePooling2d({ dataFormat: "channelsLast" }),
      tf.layers.batchNormalization({ name: "single" }),
      tf.layers.dense({ units: CLASSES, kernelInitializer: kernel(2) }),
    ]
  ) model.add(layer);
  adaptLayers(model, "file:///own.ts");
  return model;
}

Deno.test("uneven shares, ranks without rows, parts and class weights: as one worker with all rows", async () => {
  const zero = { loss: "crossEntropy", labelSmoothing: 0, classWeights: [0, 1, 2] } as const;
  const rate = 0.02;
  for (
    const { what, rows, shares, alone = rows, options = {}, bucketBytes = 0 } of [
      { what: "uneven", rows: [0, 1, 2, 3, 4, 5, 6], shares: [3, 2, 2] },
      { what: "in buckets", rows: [0, 1, 2, 3, 4, 5, 6], shares: [3, 2, 2], bucketBytes: 64 },
      { what: "ranks without rows", rows: [0, 1, 2, 3, 4], shares: [0, 3, 2, 0] },
      { what: "one row in all", rows: [2], shares: [0, 1] },
      {
        what: "parts, of which a rank has fewer",
        rows: [0, 1, 2, 3, 4],
        shares: [2, 2, 1, 0],
        alone: [0, 2, 4, 1, 3],
        options: { accumulationSteps: 2 },
      },
      {
        what: "a rank whose classes have no weight",
        rows: [0, 3, 1, 2, 4, 5],
        shares: [2, 2, 2],
        options: { loss: zero },
      },
      { what: "no weight at all", rows: [0, 3, 6], shares: [2, 1], options: { loss: zero } },
    ]
  ) {
    using one = new Ranks(1, { rate, model: () => ownModel(), ...options });
    // tfjs has no gradient of the stock layer for channels in front.
    const model = () => ownModel(what === "uneven");
    using many = new Ranks(shares.length, { rate, model, ...options });
    for (let step = 0; step < 4; step++) {
      const [whole] = await one.step(alone, [alone.length]);
      const totals = await many.step(rows, shares, bucketBytes);
      const sumOf = (key: Sum) => totals.reduce((sum, own) => sum + own[key], 0);
      assert.ok(Math.abs(sumOf("lossSum") - whole.lossSum) < 1e-4, `${what}: loss`);
      assert.ok(Math.abs(sumOf("weight") - whole.weight) < 1e-9, `${what}: weight`);
      assert.equal(sumOf("correct"), whole.correct, what);
      assert.equal(sumOf("statisticsRows"), whole.statisticsRows, what);
      assert.equal(
        Math.max(...totals.map(({ trackedBatches }) => trackedBatches)),
        whole.trackedBatches,
        what,
      );
    }
    for (const rank of shares.keys()) {
      const error = difference(many.values(rank), one.values());
      assert.ok(error < 1e-5, `${what}: rank ${rank} differs by ${error}`);
    }
  }
});

Deno.test("only the rank with a value that isn't finite has gradients that aren't", async () => {
  using ranks = new Ranks(3, { model: () => ownModel() });
  await ranks.step([0, 1, 2, 3, 4, 5], [2, 2, 2]);
  const batches = [0, 1, 2].map((rank) => batchOf([2 * rank, 2 * rank + 1]));
  (batches[1].images as Float32Array)[5] = NaN;
  const vectors = await ranks.compute(batches);
  assert.deepEqual(vectors.map((vector) => vector.every(Number.isFinite)), [true, false, true]);
});
