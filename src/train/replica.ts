/**
 * One worker's copy of the model and of the optimizer's state: what a step reads and changes.
 *
 * @module
 */
import { CapturedFunction } from "../engine/capture.ts";
import { setStepSeed } from "../engine/random_state.ts";
import { tf } from "../engine/tf.ts";
import { readInto, tensorFrom } from "../engine/transfer.ts";
import { findFrozenBody } from "../models/frozen_body.ts";
import { applyModel, classesOf } from "../models/heads.ts";
import type { Parameter } from "../models/parameters.ts";
import { parametersOf } from "../models/parameters.ts";
import { WeightAverages } from "../optim/averages.ts";
import type { EmaConfig } from "../optim/config.ts";
import { type LossName, lossPerSample, makeTargets, type Targets } from "../optim/loss.ts";
import { Optimizer, type OptimizerOptions } from "../optim/optimizer.ts";
import type { FeatureCache } from "./feature_cache.ts";
import { Features } from "./features.ts";
import { imagesTensor, type LabelledImages, partsOf, targetTensors } from "./labelled_images.ts";
import { readScores, score, type Scores } from "./scores.ts";

/** Where a rank's rows stand in the step's global batch, and the step's seed: for dropout. */
export interface StepPlace {
  readonly seed: readonly [number, number];
  readonly globalRows: number;
  readonly rowOffset: number;
}

/** What a rank found in its share of a batch. */
export interface LocalTotals {
  /** Sum of the samples' losses, each times its weight. */
  readonly lossSum: number;
  /** Sum of the samples' weights: what the loss is a mean over. */
  readonly weight: number;
  /** Samples whose highest logit is their label's. */
  readonly correct: number;
}

/** What is minimized. */
export interface LossOptions {
  readonly loss: LossName;
  readonly labelSmoothing: number;
  /** Weight of each class; 1 unless given. */
  readonly classWeights?: readonly number[];
}

/** Settings of a replica. */
export interface ReplicaOptions {
  readonly optimizer: OptimizerOptions;
  /** Plain cross-entropy unless given. */
  readonly loss?: LossOptions;
  /** Parts in which a batch is computed, one after the other (default 1). */
  readonly accumulationSteps?: number;
  /** Average the weights over the steps. */
  readonly ema?: EmaConfig;
  /** Run each part of a step as one TensorFlow function. */
  readonly capture: boolean;
}

/** When a step is taken. */
export interface UpdateTime {
  /** Learning rates, one per group of parameters. */
  readonly rates: readonly number[];
  /** Optimizer step of the run, counted from 1. */
  readonly step: number;
}

const PLAIN: LossOptions = { loss: "crossEntropy", labelSmoothing: 0 };

/** What an auxiliary classifier's loss counts (Szegedy et al. 2015, arXiv:1512.00567; torchvision's references). */
const AUXILIARY_WEIGHT = 0.4;

const FLOAT_BYTES = 4;

/**
 * A model, its optimizer's state, and the two halves of a training step between which the exchange stands.
 *
 * All float32. The exchanged vector holds the gradients of the trainable parameters, then the running
 * statistics of the BatchNorm layers that are in training mode (so that every rank keeps the same ones:
 * the average over the ranks, weighted as the loss is), in the order of {@linkcode parametersOf}.
 */
export class Replica implements Disposable {
  readonly model: tf.LayersModel;
  readonly parameters: readonly Parameter[];
  readonly optimizer: Optimizer;
  /** The frozen body, where there is one: then only the head is a part of the step. */
  readonly features: Features | undefined;
  /** Bytes of {@linkcode vector}. */
  readonly vectorBytes: number;
  #vector: Uint8Array | undefined;
  readonly #averages: WeightAverages | undefined;
  readonly #statistics: readonly tf.Variable[];
  readonly #loss: LossOptions;
  readonly #parts: number;
  readonly #forwardBackward: CapturedFunction;
  readonly #update: CapturedFunction;
  readonly #evaluate: CapturedFunction;

  /** @throws {UsageError} when a group of parameters matches none */
  constructor(model: tf.LayersModel, options: ReplicaOptions) {
    this.model = model;
    this.parameters = parametersOf(model);
    this.#loss = options.loss ?? PLAIN;
    this.#parts = options.accumulationSteps ?? 1;
    this.optimizer = new Optimizer(this.trainable, options.optimizer);
    this.#statistics = this.parameters.filter(({ buffer, trainable }) => buffer && trainable)
      .map(({ variable }) => variable);
    const exchanged = this.#exchanged;
    this.#averages = options.ema && new WeightAverages(exchanged, options.ema);
    this.vectorBytes = FLOAT_BYTES * exchanged.reduce((n, { size }) => n + size, 0);

    const { capture } = options;
    const all = () => this.parameters.map(({ variable }) => variable);
    const frozen = findFrozenBody(model);
    this.features = "obstacle" in frozen
      ? undefined
      : new Features(frozen, { variables: all, capture });
    const changing = () => [
      ...this.#exchanged,
      ...this.optimizer.slots,
      ...(this.#averages?.averages ?? []),
    ];
    this.#forwardBackward = new CapturedFunction(
      "forward_backward",
      (start, ...targets) => this.#trace(start, targets),
      { variables: all, capture },
    );
    this.#update = new CapturedFunction(
      "update",
      (vector, kept, ...scalars) => this.#applyVector(vector as tf.Tensor1D, kept, scalars),
      { variables: changing, capture },
    );
    this.#evaluate = new CapturedFunction(
      "evaluate",
      (start, ...targets) => score(this.#outputs(start, false)[0], this.#loss.loss, targets),
      { variables: all, capture },
    );
  }

  /**
   * This rank's gradients and statistics, laid out as the exchange takes them. In memory of its own, unless an
   * exchange's has been set.
   */
  get vector(): Uint8Array {
    return this.#vector ??= new Uint8Array(this.vectorBytes);
  }

  /** @throws {RangeError} when it hasn't {@linkcode vectorBytes} */
  set vector(memory: Uint8Array) {
    if (memory.byteLength !== this.vectorBytes) {
      throw new RangeError(`${memory.byteLength} bytes for a vector of ${this.vectorBytes}`);
    }
    this.#vector = memory;
  }

  /** The parameters that the optimizer changes, in order. */
  get trainable(): Parameter[] {
    return this.parameters.filter(({ buffer, trainable }) => !buffer && trainable);
  }

  /**
   * Runs forward and backward on this rank's share of a batch, and leaves the gradients of the mean loss
   * and the new running statistics in {@linkcode vector}.
   */
  async forwardBackward(batch: LabelledImages, place: StepPlace): Promise<LocalTotals> {
    const { weight } = this.#targetsOf(batch);
    const sum = { lossSum: 0, weight, correct: 0 };
    let gradients: tf.Tensor[] = [];
    for (const { part, firstRow } of partsOf(batch, this.#parts)) {
      setStepSeed([...place.seed], place.globalRows, place.rowOffset + firstRow);
      const inputs = await this.#inputs(part, this.#targetsOf(part), this.features?.caches?.train);
      const inverseWeight = tf.scalar(1 / weight);
      const results = await this.#forwardBackward.call([...inputs, inverseWeight]);
      const [lossSum, correct, ...fresh] = results;
      sum.lossSum += scalarOf(lossSum);
      sum.correct += scalarOf(correct);
      tf.dispose([...inputs, inverseWeight, lossSum, correct]);
      gradients = addUp(gradients, fresh);
    }
    this.#copyInto(this.vector, [...gradients, ...this.#statistics]);
    tf.dispose(gradients);
    return sum;
  }

  /**
   * Takes the optimizer step with the reduced gradients, and takes over the reduced statistics.
   *
   * @param vector As {@linkcode vector}, after the all-reduce
   */
  async applyUpdate(vector: Uint8Array, { rates, step }: UpdateTime): Promise<void> {
    const inputs = [
      tensorFrom([vector.byteLength / FLOAT_BYTES], "float32", vector),
      tf.scalar(this.#averages?.keptShare(step) ?? 1),
      ...this.optimizer.scalars(rates, step).map((value) => tf.scalar(value)),
    ];
    tf.dispose(await this.#update.call(inputs));
    tf.dispose(inputs);
  }

  /** Scores pictures in eval mode. */
  async evaluate(batch: LabelledImages): Promise<Scores> {
    const targets = this.#targetsOf(batch);
    const inputs = await this.#inputs(batch, targets, this.features?.caches?.val);
    const scores = readScores(await this.#evaluate.call(inputs), targets.weight);
    tf.dispose(inputs);
    return scores;
  }

  /** Whether the weights are averaged over the steps. */
  get hasAverages(): boolean {
    return this.#averages !== undefined;
  }

  /** Begins the averages anew with the present weights. */
  resetAverages(): void {
    this.#averages?.reset();
  }

  /** Does something with the averaged weights, where there are such, in the place of the present ones. */
  async withAverages<T>(action: () => T | Promise<T>): Promise<T> {
    this.#averages?.swap();
    try {
      return await action();
    } finally {
      this.#averages?.swap();
    }
  }

  /** Bytes of {@linkcode exportState}. */
  get stateBytes(): number {
    return FLOAT_BYTES * this.#stateVariables().reduce((n, { size }) => n + size, 0);
  }

  /** All parameters, buffers, averages and the optimizer's state, float32, in order: what ranks must agree on. */
  exportState(): Uint8Array {
    const bytes = new Uint8Array(this.stateBytes);
    this.#copyInto(bytes, this.#stateVariables());
    return bytes;
  }

  /** Takes over a state that {@linkcode exportState} of an equal replica gave. */
  importState(bytes: Uint8Array): void {
    if (bytes.byteLength !== this.stateBytes) {
      throw new RangeError(`State has ${bytes.byteLength} bytes, expected ${this.stateBytes}`);
    }
    let offset = 0;
    for (const variable of this.#stateVariables()) {
      const part = bytes.subarray(offset, offset += FLOAT_BYTES * variable.size);
      const value = tensorFrom(variable.shape, "float32", part);
      variable.assign(value);
      value.dispose();
    }
  }

  /** Releases the traced functions, the optimizer's state and the model. */
  [Symbol.dispose](): void {
    this.dispose();
    this.model.dispose();
  }

  /** Releases the traced functions and the optimizer's state; the model stays. */
  dispose(): void {
    this.#forwardBackward.dispose();
    this.#update.dispose();
    this.#evaluate.dispose();
    this.features?.[Symbol.dispose]();
    this.optimizer[Symbol.dispose]();
    this.#averages?.[Symbol.dispose]();
  }

  /** What the exchanged vector stands for. */
  get #exchanged(): tf.Variable[] {
    return [...this.optimizer.parameters, ...this.#statistics];
  }

  #stateVariables(): tf.Variable[] {
    return [
      ...this.parameters.map(({ variable }) => variable),
      ...this.optimizer.slots,
      ...(this.#averages?.averages ?? []),
    ];
  }

  #targetsOf({ labels, mix }: LabelledImages): Targets {
    return makeTargets(labels, { numClasses: classesOf(this.model), ...this.#loss }, mix);
  }

  #copyInto(bytes: Uint8Array, tensors: readonly tf.Tensor[]): void {
    let offset = 0;
    for (const tensor of tensors) {
      readInto(tensor, bytes.subarray(offset, offset += FLOAT_BYTES * tensor.size));
    }
  }

  /** Where a step starts, which is at the features or at the pictures, and its targets. */
  async #inputs(
    batch: LabelledImages,
    targets: Targets,
    cache: FeatureCache | undefined,
  ): Promise<tf.Tensor[]> {
    const start = this.features ? await this.features.of(batch, cache) : imagesTensor(batch);
    return [start, ...targetTensors(targets)];
  }

  #outputs(start: tf.Tensor, training: boolean): tf.Tensor2D[] {
    return this.features
      ? [this.features.head(start, training)]
      : applyModel(this.model, start, training);
  }

  #trace(start: tf.Tensor, inputs: readonly tf.Tensor[]): tf.Tensor[] {
    const [labels, distributions, scales, inverseWeight] = inputs;
    const variables = this.optimizer.parameters;
    let totals: tf.Tensor[] = [];
    const { value, grads } = tf.variableGrads(() => {
      const [logits, auxiliary] = this.#outputs(start, true);
      const lossOf = (outputs: tf.Tensor2D) =>
        tf.sum(lossPerSample(
          this.#loss.loss,
          outputs,
          distributions as tf.Tensor2D,
          scales as tf.Tensor1D,
        ));
      const loss = auxiliary
        ? tf.add(lossOf(logits), tf.mul(lossOf(auxiliary), AUXILIARY_WEIGHT))
        : lossOf(logits);
      totals = [tf.keep(loss), tf.keep(countCorrect(logits, labels))];
      return tf.mul(loss, inverseWeight) as tf.Scalar;
    }, variables);
    value.dispose();
    return [...totals, ...variables.map(({ name }) => grads[name])];
  }

  #applyVector(vector: tf.Tensor1D, kept: tf.Tensor, scalars: tf.Tensor[]): tf.Tensor[] {
    const targets = this.#exchanged;
    const parts = tf.split(vector, targets.map(({ size }) => size))
      .map((part, index) => tf.reshape(part, targets[index].shape));
    const learning = this.optimizer.parameters.length;
    this.optimizer.update(parts.slice(0, learning), scalars);
    this.#statistics.forEach((variable, index) => variable.assign(parts[learning + index]));
    this.#averages?.update(kept);
    return [];
  }
}

function countCorrect(logits: tf.Tensor2D, labels: tf.Tensor): tf.Tensor {
  return tf.sum(tf.cast(tf.equal(tf.argMax(logits, 1), labels), "int32"));
}

/** Adds tensors pairwise, and disposes of the summands; nothing and something is something. */
function addUp(sums: tf.Tensor[], fresh: tf.Tensor[]): tf.Tensor[] {
  if (sums.length === 0) return fresh;
  const added = sums.map((sum, index) => tf.add(sum, fresh[index]));
  tf.dispose([...sums, ...fresh]);
  return added;
}

function scalarOf(tensor: tf.Tensor): number {
  return tensor.dataSync()[0];
}
