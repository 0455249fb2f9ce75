/**
 * One worker's copy of the model and of the optimizer's state: what a step reads and changes.
 *
 * @module
 */
import { CapturedFunction } from "../engine/capture/capture.ts";
import { nativeRuntime } from "../engine/native_runtime.ts";
import { setStepSeed } from "../engine/random_state.ts";
import { tf } from "../engine/tf.ts";
import { findNonFiniteLayer } from "../models/non_finite_layer.ts";
import { findSingleValue } from "../models/single_value.ts";
import { trainedBatchNorms } from "../models/trained_batch_norms.ts";
import type { EmaConfig } from "../optim/config.ts";
import type { OptimizerOptions } from "../optim/optimizer.ts";
import { bucketCuts } from "./buckets.ts";
import type { Features } from "./features.ts";
import type { LabelledImages } from "./labelled_images.ts";
import type { MicroBatching } from "./micro_batches.ts";
import { type BatchPart, type Preparation, PreparedBatches } from "./prepared_batches.ts";
import { ModelScorer, type ScorerOptions } from "./model_scorer.ts";
import { type NonFiniteOrigin, originOf } from "./non_finite_origin.ts";
import { ReplicaDigest } from "./replica_digest.ts";
import { ReplicaState, type ReplicaUpdate } from "./replica_state.ts";
import { GlobalBatch, type MomentExchange, type MomentMeeting } from "./moment_exchange.ts";
import type { Scores } from "./scores.ts";
import { type ProbeOptions, StepProbe } from "./step_probe.ts";
import { type LocalTotals, NO_TOTALS, RESULTS, StepSums } from "./step_sums.ts";
import { trainingLoss } from "./training_loss.ts";

/** The place of a rank's rows in the step's global batch, and the step's seed: for dropout. */
export interface RankShare {
  readonly seed: readonly [number, number];
  readonly globalRows: number;
  readonly rowOffset: number;
  /** Factor of the loss in the backward pass (default 1); the loss itself is returned without it. */
  readonly lossScale?: number;
  /** The caller ends the use of the batch by {@linkcode Replica.finish}; unless set, the call does. */
  readonly keepsBatch?: boolean;
}

/** Gradients that leave a step before it has ended. */
export interface EarlyGradients {
  /** Least bytes of gradients in a bucket. */
  readonly bucketBytes: number;
  /**
   * The vector is final from float `begin` on, and so are the totals. Called with a falling `begin`; not for the last
   * gradients of all.
   */
  readonly onReady: (totals: LocalTotals, begin: number) => void;
}

/** The parts in which a share of a batch is computed, and what is known of them before. */
interface PartPlan {
  /** This rank's parts. */
  readonly own: readonly BatchPart[];
  /** By part, over the ranks whose moments meet: true where a BatchNorm layer has one value per channel. */
  readonly isSingle: readonly boolean[];
  readonly known: Pick<LocalTotals, "weight" | "statisticsRows" | "trackedBatches">;
  /** Factor of the sum of losses. */
  readonly lossFactor: number;
  /** The batch of all ranks, where their moments meet. */
  readonly global: GlobalBatch | undefined;
}

/** A captured function of a replica, and inputs that it could be called with; the caller disposes of those. */
export interface ReplicaCall {
  readonly fn: CapturedFunction;
  readonly inputs: readonly tf.Tensor[];
}

/** Settings of a replica. */
export interface ReplicaOptions extends ScorerOptions, MicroBatching {
  readonly optimizer: OptimizerOptions;
  /** Average the weights over the steps. */
  readonly ema?: EmaConfig;
}

/** Values of a pixel. */
const CHANNELS = 3;

/**
 * A model, its state, and the two halves of a training step between which the exchange stands. All float32.
 */
export class Replica implements Disposable {
  readonly model: tf.LayersModel;
  readonly state: ReplicaState;
  readonly #scorer: ModelScorer;
  readonly #batches: PreparedBatches;
  readonly #forwardBackward: CapturedFunction;
  readonly #probing: ProbeOptions;
  readonly #digest: ReplicaDigest;
  /** By the images' size: true when one image is a single value per channel somewhere. */
  readonly #singleValues = new Map<string, boolean>();
  /** By the images' size: the points at which a step's function exchanges moments. */
  readonly #points = new Map<string, ReturnType<CapturedFunction["exchangePoints"]>>();

  /** @throws {UsageError} when a group of parameters matches none */
  constructor(model: tf.LayersModel, options: ReplicaOptions) {
    this.model = model;
    this.state = new ReplicaState(model, options.optimizer, options.ema);
    this.#scorer = new ModelScorer(model, options);
    const variables = () => this.state.parameters.map(({ variable }) => variable);
    const { accumulationSteps, microBatchSize } = options;
    this.#batches = new PreparedBatches(this.#scorer.stage, { accumulationSteps, microBatchSize });
    this.#probing = { capture: options.capture, call: options.call };
    this.#digest = new ReplicaDigest(variables);
    this.#forwardBackward = new CapturedFunction(
      "forward_backward",
      (start, ...targets) => this.#trace(start, targets),
      { variables, capture: options.capture, ...options.call },
    );
  }

  /** The division of this rank's rows into micro-batches; all ranks have the same. It may change between two steps. */
  get batching(): MicroBatching {
    return this.#batches.batching;
  }

  set batching(batching: MicroBatching) {
    this.#batches.batching = batching;
  }

  /** The frozen body, where there is one: then only the head is a part of the step. */
  get features(): Features | undefined {
    return this.#scorer.features;
  }

  /**
   * The preparation of batches before {@linkcode forwardBackward}: it copies the images to the GPU, while that computes
   * on the batch before. Their memory may be overwritten then. Nothing on a CPU, and where images are needed here to
   * keep features.
   */
  get preparation(): Preparation<LabelledImages> | undefined {
    return nativeRuntime().hasGpu && !this.features?.caches ? this.#batches : undefined;
  }

  /**
   * Runs forward and backward on this rank's share of a batch, and leaves the gradients of the mean loss, scaled, and the new
   * running statistics in the state's vector. The statistics themselves stay as they were until {@linkcode update}.
   * Parts in which a BatchNorm layer has one value per channel are left out of the statistics: such a value has no
   * variance. Where all samples' classes have weight 0, the gradients are 0.
   *
   * @param early Wants the last layers' gradients while those of the first ones are still computed
   * @param meeting Lets BatchNorm normalize by the moments of all ranks' rows; every rank must then make the same call,
   *   also without rows
   */
  async forwardBackward(
    batch: LabelledImages,
    place: RankShare,
    early?: EarlyGradients,
    meeting?: MomentMeeting,
  ): Promise<LocalTotals> {
    const { state } = this;
    const plan = await this.#plan(batch, meeting && this.#momentsMeet ? meeting : undefined);
    const { own, isSingle, known, lossFactor, global } = plan;
    if (isSingle.length === 0) return NO_TOTALS;
    state.collect();
    using sums = new StepSums(state, known);
    for (const [index, single] of isSingle.entries()) {
      const exchange = global?.exchangeOf(index);
      if (index >= own.length) { // other ranks have another part
        await exchange!.answer(await this.#pointsOf(batch, place));
        continue;
      }
      const { part, firstRow } = own[index];
      setStepSeed([...place.seed], place.globalRows, place.rowOffset + firstRow);
      const inputs = await this.#scorer.inputs(part, this.features?.caches?.train);
      inputs.push(tf.scalar((place.lossScale ?? 1) * lossFactor));
      const isLast = index === own.length - 1;
      try {
        if (single) await sums.add(await this.#callWithoutStatistics(inputs, exchange), isLast);
        else if (isLast && early) await this.#callInBuckets(inputs, sums, early, exchange);
        else await sums.add(await this.#call(inputs, exchange), isLast);
      } finally {
        tf.dispose(inputs);
      }
    }
    state.restore();
    const totals = await sums.totals();
    if (!place.keepsBatch) this.finish(batch); // the results were read, so the images were, too
    return totals;
  }

  /** Ends the use of a batch that was kept: the ops on it must be done. */
  finish(batch: LabelledImages): void {
    this.#batches.finish(batch);
  }

  /**
   * Computes a step once more, instrumented, to find where its values cease to be finite. The state stays as it is; no
   * other rank takes part, so BatchNorm normalizes by this rank's rows. The batch must still be in use.
   */
  async findNonFinite(batch: LabelledImages, place: RankShare): Promise<NonFiniteOrigin> {
    const { state } = this;
    const own = this.#batches.partsOf(batch);
    const weight = own.length === 0 ? 0 : this.#scorer.weightOf(batch);
    const factor = (place.lossScale ?? 1) * (weight === 0 ? 0 : 1 / weight);
    using probe = new StepProbe(this.#scorer, state, this.#probing);
    try {
      for (const { part, firstRow } of own) {
        setStepSeed([...place.seed], place.globalRows, place.rowOffset + firstRow);
        const inputs = await this.#scorer.inputs(part, this.features?.caches?.train);
        inputs.push(tf.scalar(factor));
        try {
          const origin = originOf(await probe.run(inputs), part.indices);
          if (origin) return this.features ? await this.#originInBody(origin, part) : origin;
        } finally {
          tf.dispose(inputs);
        }
      }
    } finally {
      state.restore();
    }
    return own.length > 1 ? { at: "microBatches", count: own.length } : { at: "nowhere" };
  }

  /** Of a pass that starts with features: where in the frozen body those cease to be finite. */
  async #originInBody(origin: NonFiniteOrigin, part: LabelledImages): Promise<NonFiniteOrigin> {
    if (origin.at !== "images") return origin;
    const { images } = origin;
    if (part.unread) return { at: "features", images };
    const pixels = await this.#scorer.stage.tensorOf(part);
    try {
      const layer = findNonFiniteLayer(this.model, pixels);
      return layer === undefined ? { at: "features", images } : { at: "output", layer, images };
    } finally {
      pixels.dispose();
    }
  }

  async #plan(batch: LabelledImages, meeting: MomentMeeting | undefined): Promise<PartPlan> {
    const own = this.#batches.partsOf(batch);
    const rows = own.map(({ part }) => part.labels.length);
    const weight = own.length === 0 ? 0 : this.#scorer.weightOf(batch);
    const global = meeting &&
      await GlobalBatch.meet(meeting, { weight, rows: batch.labels.length }, this.batching);
    const isSingle = (global?.parts ?? rows).map((count) =>
      count === 1 && this.#hasSingleValue(batch)
    );
    const counts = isSingle.map((single) => !single);
    const counted = rows.reduce((sum, count, index) => sum + (counts[index] ? count : 0), 0);
    return {
      own,
      isSingle,
      known: {
        weight: global?.shareOfWeight ?? weight,
        statisticsRows: global?.statisticsRows(counts) ?? counted,
        trackedBatches: counts.filter((isCounted) => isCounted).length,
      },
      lossFactor: global?.lossFactor ?? (weight === 0 ? 0 : 1 / weight),
      global,
    };
  }

  /** True where there are moments that can meet. */
  get #momentsMeet(): boolean {
    return trainedBatchNorms(this.model).length > 0;
  }

  /** The points of a step's function, which are the same for any number of rows. */
  async #pointsOf({ height, width }: LabelledImages, { seed, globalRows }: RankShare) {
    const size = `${height} × ${width}`;
    const known = this.#points.get(size);
    if (known) return known;
    const one: LabelledImages = {
      images: new Float32Array(height * width * CHANNELS),
      labels: Int32Array.of(0),
      height,
      width,
    };
    setStepSeed([...seed], globalRows, 0);
    const inputs = await this.#scorer.inputs(one, undefined);
    inputs.push(tf.scalar(0));
    const points = this.#forwardBackward.exchangePoints(inputs);
    tf.dispose(inputs);
    this.#points.set(size, points);
    return points;
  }

  async #call(
    inputs: readonly tf.Tensor[],
    exchange: MomentExchange | undefined,
  ): Promise<Map<number, tf.Tensor>> {
    return new Map((await this.#forwardBackward.call(inputs, exchange?.exchange)).entries());
  }

  /** Calls the function, and leaves the running statistics as they were. */
  async #callWithoutStatistics(
    inputs: readonly tf.Tensor[],
    exchange: MomentExchange | undefined,
  ): Promise<Map<number, tf.Tensor>> {
    const { exchanged, learning } = this.state;
    const statistics = exchanged.slice(learning.length);
    const before = statistics.map((variable) => tf.clone(variable));
    try {
      return await this.#call(inputs, exchange);
    } finally {
      statistics.forEach((variable, index) => variable.assign(before[index]));
      tf.dispose(before);
    }
  }

  /** Tells whether a BatchNorm layer that trains has one value per channel in an image of a batch. */
  #hasSingleValue({ height, width }: LabelledImages): boolean {
    const size = `${height} × ${width}`;
    const known = this.#singleValues.get(size) ??
      findSingleValue(this.model, [height, width]) !== undefined;
    this.#singleValues.set(size, known);
    return known;
  }

  async #callInBuckets(
    inputs: readonly tf.Tensor[],
    sums: StepSums,
    { bucketBytes, onReady }: EarlyGradients,
    exchange: MomentExchange | undefined,
  ): Promise<void> {
    await this.#forwardBackward.callInParts(inputs, {
      ...(exchange ? { exchange: exchange.exchange } : {}),
      cuts: (results) => bucketCuts(results.slice(RESULTS.gradients), bucketBytes),
      onResults: async (results) => {
        await sums.add(results, true);
        if (sums.begin > 0) onReady(await sums.totals(), sums.begin);
      },
    });
  }

  /** As of `ReplicaDigest`: the parameters and running statistics as the model computes with them. */
  async digest(): Promise<number> {
    return await this.#digest.compute();
  }

  /** As of `ReplicaState`. */
  async flipBit(): Promise<void> {
    await this.state.flipBit();
  }

  /** As of `ReplicaState`. */
  async update(update: ReplicaUpdate): Promise<void> {
    await this.state.update(update);
  }

  /** As of `ReplicaState`. */
  commit(): void {
    this.state.commit();
  }

  /** The update and the commit of a replica that is alone. */
  async step(update: ReplicaUpdate): Promise<void> {
    await this.update(update);
    this.commit();
  }

  /** Scores images in eval mode. */
  evaluate(batch: LabelledImages): Promise<Scores> {
    return this.#scorer.evaluate(batch);
  }

  /** As `ModelScorer.findNonFiniteLayer`. */
  findNonFiniteLayer(batch: LabelledImages): string | undefined {
    return this.#scorer.findNonFiniteLayer(batch);
  }

  /** The captured functions of a step (that of its images only for bytes) and of an evaluation on a batch, for a profile. */
  async calls(batch: LabelledImages, place: RankShare): Promise<ReplicaCall[]> {
    const weight = this.#scorer.weightOf(batch);
    setStepSeed([...place.seed], place.globalRows, place.rowOffset);
    const start = () => this.#scorer.inputs(batch, undefined);
    const { images } = batch;
    return [
      ...(images instanceof Float32Array ? [] : [this.#scorer.stage.callOf(images)]),
      { fn: this.#forwardBackward, inputs: [...await start(), tf.scalar(1 / weight)] },
      { fn: this.#scorer.fn, inputs: await start() },
    ];
  }

  /** Releases the traced functions, the optimizer's state and the model. */
  [Symbol.dispose](): void {
    this.dispose();
    this.model.dispose();
  }

  /** Releases the traced functions and the optimizer's state; the model stays. */
  dispose(): void {
    this.#forwardBackward.dispose();
    this.#digest[Symbol.dispose]();
    this.#scorer.dispose();
    this.state[Symbol.dispose]();
  }

  #trace(start: tf.Tensor, inputs: readonly tf.Tensor[]): tf.Tensor[] {
    const inverseWeight = inputs.at(-1)!;
    const variables = [...this.state.learning];
    let totals: tf.Tensor[] = [];
    const { value, grads } = tf.variableGrads(() => {
      const { loss, logits, labels } = trainingLoss(this.#scorer, start, inputs);
      const correct = tf.cast(countCorrect(logits, labels), "float32");
      totals = [tf.keep(tf.stack([loss, correct]))];
      return tf.mul(loss, inverseWeight) as tf.Scalar;
    }, variables);
    value.dispose();
    return [...totals, ...variables.map(({ name }) => grads[name])];
  }
}

/** A row with a logit that isn't finite is never right. */
function countCorrect(logits: tf.Tensor2D, labels: tf.Tensor): tf.Tensor {
  // float32: comparisons and sums of int32 are the host's on a GPU.
  const right = tf.equal(tf.cast(tf.argMax(logits, 1), "float32"), tf.cast(labels, "float32"));
  return tf.sum(tf.cast(tf.logicalAnd(right, tf.all(tf.isFinite(logits), 1)), "float32"));
}
