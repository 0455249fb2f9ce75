/**
 * One worker's copy of the model and of the optimizer's state: what a step reads and changes.
 *
 * @module
 */
import { CapturedFunction } from "../engine/capture.ts";
import { softmaxCrossEntropyPerSample } from "../engine/native_ops.ts";
import { setStepSeed } from "../engine/random_state.ts";
import { tf } from "../engine/tf.ts";
import { readInto, tensorFrom } from "../engine/transfer.ts";
import type { Parameter } from "../models/parameters.ts";
import { parametersOf } from "../models/parameters.ts";
import type { SgdConfig } from "../optim/config.ts";
import { makeSgdSlots, type SgdSlot, sgdStep } from "../optim/sgd.ts";

/** Pictures and labels, as the loader gives them. */
export interface LabelledImages {
  /** NHWC, normalized. */
  readonly images: Float32Array;
  readonly labels: Int32Array;
  readonly height: number;
  readonly width: number;
}

/** Where a rank's rows stand in the step's global batch, and the step's seed: for dropout. */
export interface StepPlace {
  readonly seed: readonly [number, number];
  readonly globalRows: number;
  readonly rowOffset: number;
}

/** What a rank found in its share of a batch. */
export interface LocalTotals {
  /** Sum of the samples' losses. */
  readonly lossSum: number;
  /** Samples whose highest logit is their label's. */
  readonly correct: number;
}

/** What a model makes of some pictures in eval mode. */
export interface Scores {
  /** Sum of the samples' losses. */
  readonly lossSum: number;
  /** The class with the highest logit for each picture. */
  readonly predictions: Int32Array;
}

/** Settings of a replica. */
export interface ReplicaOptions {
  readonly sgd: SgdConfig;
  /** Run each part of a step as one TensorFlow function. */
  readonly capture: boolean;
}

const FLOAT_BYTES = 4;

/**
 * A model, its momentum buffers, and the two halves of a training step between which the exchange stands.
 *
 * All float32. The exchanged vector holds the gradients of the trainable parameters, then the running
 * statistics of the BatchNorm layers that are in training mode (so that every rank keeps the same ones:
 * the average over the ranks, weighted by samples), in the order of {@linkcode parametersOf}.
 */
export class Replica implements Disposable {
  readonly model: tf.LayersModel;
  readonly parameters: readonly Parameter[];
  /** This rank's gradients and statistics, laid out as the exchange sends them. */
  readonly vector: Uint8Array;
  readonly #statistics: readonly tf.Variable[];
  readonly #slots: readonly SgdSlot[];
  readonly #sgd: SgdConfig;
  readonly #forwardBackward: CapturedFunction;
  readonly #update: CapturedFunction;
  readonly #evaluate: CapturedFunction;

  constructor(model: tf.LayersModel, options: ReplicaOptions) {
    this.model = model;
    this.parameters = parametersOf(model);
    this.#sgd = options.sgd;
    this.#slots = makeSgdSlots(this.trainable.map(({ variable }) => variable));
    this.#statistics = this.parameters.filter(({ buffer, trainable }) => buffer && trainable)
      .map(({ variable }) => variable);
    const exchanged = [...this.#slots.map(({ parameter }) => parameter), ...this.#statistics];
    this.vector = new Uint8Array(FLOAT_BYTES * exchanged.reduce((n, { size }) => n + size, 0));

    const { capture } = options;
    const all = () => this.parameters.map(({ variable }) => variable);
    this.#forwardBackward = new CapturedFunction(
      "forward_backward",
      (images, labels) => this.#trace(images as tf.Tensor4D, labels as tf.Tensor1D),
      { variables: all, capture },
    );
    this.#update = new CapturedFunction(
      "update",
      (vector, rate, undampened) => this.#applyVector(vector as tf.Tensor1D, rate, undampened),
      { variables: () => [...exchanged, ...this.#slots.map(({ momentum }) => momentum)], capture },
    );
    this.#evaluate = new CapturedFunction(
      "evaluate",
      (images, labels) => score(model, images, labels as tf.Tensor1D),
      { variables: all, capture },
    );
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
    setStepSeed([...place.seed], place.globalRows, place.rowOffset);
    const inputs = batchTensors(batch);
    const [lossSum, correct, ...gradients] = await this.#forwardBackward.call(inputs);
    const totals = { lossSum: scalarOf(lossSum), correct: scalarOf(correct) };
    this.#copyInto(this.vector, [...gradients, ...this.#statistics]);
    tf.dispose([...inputs, lossSum, correct, ...gradients]);
    return totals;
  }

  /**
   * Takes the optimizer step with the reduced gradients, and takes over the reduced statistics.
   *
   * @param vector As {@linkcode vector}, after the all-reduce
   * @param learningRate Learning rate of this step
   * @param firstStep Whether the momentum buffers are still unset (matters with dampening only)
   */
  async applyUpdate(vector: Uint8Array, learningRate: number, firstStep: boolean): Promise<void> {
    const inputs = [
      tensorFrom([vector.byteLength / FLOAT_BYTES], "float32", vector),
      tf.scalar(learningRate),
      tf.scalar(firstStep ? 1 : 1 - this.#sgd.dampening),
    ];
    tf.dispose(await this.#update.call(inputs));
    tf.dispose(inputs);
  }

  /**
   * Scores pictures in eval mode.
   *
   * @returns The sum of the losses, and the class with the highest logit for each picture
   */
  async evaluate(batch: LabelledImages): Promise<Scores> {
    const inputs = batchTensors(batch);
    const scores = readScores(await this.#evaluate.call(inputs));
    tf.dispose(inputs);
    return scores;
  }

  /** Bytes of {@linkcode exportState}. */
  get stateBytes(): number {
    return FLOAT_BYTES * this.#stateVariables().reduce((n, { size }) => n + size, 0);
  }

  /** All parameters, buffers and momentum buffers, float32, in order: what ranks must agree on. */
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

  /** The momentum buffers by the names of their parameters. */
  momentum(): Map<string, tf.Variable> {
    return new Map(this.trainable.map(({ name }, index) => [name, this.#slots[index].momentum]));
  }

  /** Releases the traced functions, the momentum buffers and the model. */
  [Symbol.dispose](): void {
    this.dispose();
    this.model.dispose();
  }

  /** Releases the traced functions and the momentum buffers; the model stays. */
  dispose(): void {
    this.#forwardBackward.dispose();
    this.#update.dispose();
    this.#evaluate.dispose();
    for (const { momentum } of this.#slots) momentum.dispose();
  }

  #stateVariables(): tf.Variable[] {
    return [
      ...this.parameters.map(({ variable }) => variable),
      ...this.#slots.map(({ momentum }) => momentum),
    ];
  }

  #copyInto(bytes: Uint8Array, tensors: readonly tf.Tensor[]): void {
    let offset = 0;
    for (const tensor of tensors) {
      readInto(tensor, bytes.subarray(offset, offset += FLOAT_BYTES * tensor.size));
    }
  }

  #trace(images: tf.Tensor4D, labels: tf.Tensor1D): tf.Tensor[] {
    const variables = this.#slots.map(({ parameter }) => parameter);
    let totals: tf.Tensor[] = [];
    const { value, grads } = tf.variableGrads(() => {
      const logits = this.model.apply(images, { training: true }) as tf.Tensor2D;
      const losses = softmaxCrossEntropyPerSample(logits, labels);
      totals = [tf.keep(tf.sum(losses)), tf.keep(countCorrect(logits, labels))];
      return tf.mean(losses) as tf.Scalar;
    }, variables);
    value.dispose();
    return [...totals, ...variables.map(({ name }) => grads[name])];
  }

  #applyVector(vector: tf.Tensor1D, rate: tf.Tensor, undampened: tf.Tensor): tf.Tensor[] {
    const targets = [...this.#slots.map(({ parameter }) => parameter), ...this.#statistics];
    const parts = tf.split(vector, targets.map(({ size }) => size))
      .map((part, index) => tf.reshape(part, targets[index].shape));
    sgdStep(this.#slots, parts.slice(0, this.#slots.length), rate, undampened, this.#sgd);
    this.#statistics.forEach((variable, index) =>
      variable.assign(parts[this.#slots.length + index])
    );
    return [];
  }
}

/**
 * Scores pictures with a model as it is, op by op: for a use or two, where tracing wouldn't pay.
 *
 * @returns As {@linkcode Replica.evaluate}
 */
export function scoreOnce(model: tf.LayersModel, batch: LabelledImages): Scores {
  const inputs = batchTensors(batch);
  const scores = readScores(tf.tidy(() => score(model, inputs[0], inputs[1] as tf.Tensor1D)));
  tf.dispose(inputs);
  return scores;
}

/** Sum of the losses, and the class with the highest logit for each picture. */
function score(model: tf.LayersModel, images: tf.Tensor, labels: tf.Tensor1D): tf.Tensor[] {
  const logits = model.apply(images, { training: false }) as tf.Tensor2D;
  return [tf.sum(softmaxCrossEntropyPerSample(logits, labels)), tf.argMax(logits, 1)];
}

/** Reads what {@linkcode score} gave, and disposes of it. */
function readScores([lossSum, predictions]: tf.Tensor[]): Scores {
  const scores = {
    lossSum: scalarOf(lossSum),
    predictions: predictions.dataSync() as Int32Array,
  };
  tf.dispose([lossSum, predictions]);
  return scores;
}

function countCorrect(logits: tf.Tensor2D, labels: tf.Tensor1D): tf.Tensor {
  return tf.sum(tf.cast(tf.equal(tf.argMax(logits, 1), labels), "int32"));
}

function batchTensors({ images, labels, height, width }: LabelledImages): tf.Tensor[] {
  const count = labels.length;
  return [
    tensorFrom([count, height, width, 3], "float32", bytesOf(images)),
    tensorFrom([count], "int32", bytesOf(labels)),
  ];
}

function bytesOf(array: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function scalarOf(tensor: tf.Tensor): number {
  return tensor.dataSync()[0];
}
