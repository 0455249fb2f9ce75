/**
 * One worker's copy of the model and of the optimizer's state: what a step reads and changes.
 *
 * @module
 */
import { CapturedFunction } from "../engine/capture/capture.ts";
import { nativeRuntime } from "../engine/native_runtime.ts";
import { setStepSeed } from "../engine/random_state.ts";
import { tf } from "../engine/tf.ts";
import { findSingleValue } from "../models/single_value.ts";
import type { EmaConfig } from "../optim/config.ts";
import { lossPerSample } from "../optim/loss.ts";
import type { OptimizerOptions } from "../optim/optimizer.ts";
import { bucketCuts } from "./buckets.ts";
import type { Features } from "./features.ts";
import type { LabelledImages } from "./labelled_images.ts";
import type { MicroBatching } from "./micro_batches.ts";
import { type Preparation, PreparedBatches } from "./prepared_batches.ts";
import { ModelScorer, type ScorerOptions } from "./model_scorer.ts";
import { ReplicaState, type ReplicaUpdate } from "./replica_state.ts";
import type { Scores } from "./scores.ts";
import { type LocalTotals, RESULTS, StepSums } from "./step_sums.ts";

/** The place of a rank's rows in the step's global batch, and the step's seed: for dropout. */
export interface RankShare {
  readonly seed: readonly [number, number];
  readonly globalRows: number;
  readonly rowOffset: number;
  /** Factor of the loss in the backward pass (default 1); the loss itself is returned without it. */
  readonly lossScale?: number;
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

/** Weight of an auxiliary classifier's loss (Szegedy et al. 2015, arXiv:1512.00567; torchvision's references). */
const AUXILIARY_WEIGHT = 0.4;

/**
 * A model, its state, and the two halves of a training step between which the exchange stands. All float32.
 */
export class Replica implements Disposable {
  readonly model: tf.LayersModel;
  readonly state: ReplicaState;
  readonly #scorer: ModelScorer;
  readonly #batches: PreparedBatches;
  readonly #forwardBackward: CapturedFunction;
  /** By the images' size: true when one image is a single value per channel somewhere. */
  readonly #singleValues = new Map<string, boolean>();

  /** @throws {UsageError} when a group of parameters matches none */
  constructor(model: tf.LayersModel, options: ReplicaOptions) {
    this.model = model;
    this.state = new ReplicaState(model, options.optimizer, options.ema);
    this.#scorer = new ModelScorer(model, options);
    this.#batches = new PreparedBatches(this.#scorer.stage, options);
    const variables = () => this.state.parameters.map(({ variable }) => variable);
    this.#forwardBackward = new CapturedFunction(
      "forward_backward",
      (start, ...targets) => this.#trace(start, targets),
      { variables, capture: options.capture, ...options.call },
    );
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
   */
  async forwardBackward(
    batch: LabelledImages,
    place: RankShare,
    early?: EarlyGradients,
  ): Promise<LocalTotals> {
    const { state } = this;
    state.collect();
    const weight = this.#scorer.weightOf(batch);
    const parts = this.#batches.partsOf(batch);
    const counted = parts.filter(({ part }) => !this.#hasSingleValue(part));
    const statisticsRows = counted.reduce((sum, { part }) => sum + part.labels.length, 0);
    using sums = new StepSums(state, { weight, statisticsRows, trackedBatches: counted.length });
    for (const [index, { part, firstRow }] of parts.entries()) {
      setStepSeed([...place.seed], place.globalRows, place.rowOffset + firstRow);
      const inputs = await this.#scorer.inputs(part, this.features?.caches?.train);
      inputs.push(tf.scalar(weight === 0 ? 0 : (place.lossScale ?? 1) / weight));
      const isLast = index === parts.length - 1;
      try {
        if (this.#hasSingleValue(part)) {
          await sums.add(await this.#callWithoutStatistics(inputs), isLast);
        } else if (isLast && early) await this.#callInBuckets(inputs, sums, early);
        else await sums.add(await this.#call(inputs), isLast);
      } finally {
        tf.dispose(inputs);
      }
    }
    state.restore();
    const totals = await sums.totals();
    this.#batches.finish(batch); // the results were read, so the images were, too
    return totals;
  }

  async #call(inputs: readonly tf.Tensor[]): Promise<Map<number, tf.Tensor>> {
    return new Map((await this.#forwardBackward.call(inputs)).entries());
  }

  /** Calls the function, and leaves the running statistics as they were. */
  async #callWithoutStatistics(inputs: readonly tf.Tensor[]): Promise<Map<number, tf.Tensor>> {
    const { exchanged, learning } = this.state;
    const statistics = exchanged.slice(learning.length);
    const before = statistics.map((variable) => tf.clone(variable));
    try {
      return await this.#call(inputs);
    } finally {
      statistics.forEach((variable, index) => variable.assign(before[index]));
      tf.dispose(before);
    }
  }

  /** Tells whether a BatchNorm layer that trains has one value per channel in a part of a batch. */
  #hasSingleValue({ labels, height, width }: LabelledImages): boolean {
    if (labels.length !== 1) return false;
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
  ): Promise<void> {
    await this.#forwardBackward.callInParts(inputs, {
      cuts: (results) => bucketCuts(results.slice(RESULTS.gradients), bucketBytes),
      onResults: async (results) => {
        await sums.add(results, true);
        if (sums.begin > 0) onReady(await sums.totals(), sums.begin);
      },
    });
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
    this.#scorer.dispose();
    this.state[Symbol.dispose]();
  }

  #trace(start: tf.Tensor, inputs: readonly tf.Tensor[]): tf.Tensor[] {
    const { labels, distributions, scales } = this.#scorer.targetsFrom(start, inputs);
    const inverseWeight = inputs.at(-1)!;
    const variables = [...this.state.learning];
    let totals: tf.Tensor[] = [];
    const { value, grads } = tf.variableGrads(() => {
      const [logits, auxiliary] = this.#scorer.outputs(start, true);
      const lossOf = (outputs: tf.Tensor2D) =>
        tf.sum(lossPerSample(this.#scorer.loss.loss, outputs, distributions, scales, labels));
      const loss = auxiliary
        ? tf.add(lossOf(logits), tf.mul(lossOf(auxiliary), AUXILIARY_WEIGHT))
        : lossOf(logits);
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
