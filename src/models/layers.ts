/**
 * Layers that run on the engine's fused ops. Each carries the class name and the weights of the stock layer
 * that it replaces, so that a model's JSON loads wherever tfjs does.
 *
 * @module
 */
import { dropout, trainingBatchNorm } from "../engine/native_ops.ts";
import { exchangesMoments, synchronizedBatchNorm } from "../engine/synchronized_batch_norm.ts";
import { tf } from "../engine/tf.ts";

type Call = { training?: boolean };
type Inputs = tf.Tensor | tf.Tensor[];

/** The behaviour of a layer in training beside learning, which freezing turns off. */
interface Freezable {
  /** Run in eval mode even while training. */
  frozen?: boolean;
  /** True if anything is dropped at random while training. */
  readonly drops?: boolean;
}

/** Tells whether a layer runs in eval mode even while training. */
export function isFrozenLayer(layer: tf.layers.Layer): boolean {
  return (layer as Freezable).frozen ?? false;
}

/** Tells whether a layer drops at random while training. */
export function dropsAtRandom(layer: tf.layers.Layer): boolean {
  return (layer as Freezable).drops ?? false;
}

/** Tells whether a layer keeps running statistics: BatchNorm, ours or the stock layer. */
export function isBatchNorm(
  layer: tf.layers.Layer,
): layer is tf.layers.Layer & { frozen: boolean } {
  return layer.getClassName() === BatchNorm.className;
}

function one(inputs: Inputs): tf.Tensor {
  return Array.isArray(inputs) ? inputs[0] : inputs;
}

/** Settings of {@linkcode BatchNorm}. */
export interface BatchNormConfig {
  readonly name: string;
  readonly epsilon: number;
  /** PyTorch's: weight of the newest batch in the running statistics. */
  readonly momentum: number;
}

/** BatchNorm over the last axis of [n, h, w, c], with PyTorch's running statistics. */
export class BatchNorm extends tf.layers.Layer {
  static readonly className = "BatchNormalization";
  /** Run in eval mode even while training. */
  frozen = false;
  readonly #epsilon: number;
  readonly #momentum: number;

  constructor(config: BatchNormConfig) {
    super({ name: config.name });
    this.supportsMasking = true;
    this.#epsilon = config.epsilon;
    this.#momentum = config.momentum;
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const channels = (inputShape as tf.Shape).at(-1)!;
    const ones = tf.initializers.ones();
    const zeros = tf.initializers.zeros();
    const add = (name: string, initializer: typeof ones, trainable: boolean) =>
      this.addWeight(name, [channels], "float32", initializer, undefined, trainable);
    add("gamma", ones, true);
    add("beta", zeros, true);
    add("moving_mean", zeros, false);
    add("moving_variance", ones, false);
    this.built = true;
  }

  override call(inputs: Inputs, { training }: Call): tf.Tensor {
    const [gamma, beta, movingMean, movingVariance] = this.#variables();
    return tf.tidy(() => {
      const x = one(inputs) as tf.Tensor4D;
      if (!training || this.frozen) {
        return tf.batchNorm(x, movingMean, movingVariance, beta, gamma, this.#epsilon);
      }
      const state = { gamma, beta, movingMean, movingVariance } as unknown as Parameters<
        typeof trainingBatchNorm
      >[1];
      const normalize = exchangesMoments() ? synchronizedBatchNorm : trainingBatchNorm;
      const result = normalize(x, state, this.#momentum, this.#epsilon);
      movingMean.assign(result.movingMean);
      movingVariance.assign(result.movingVariance);
      return result.y;
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {
      ...super.getConfig(),
      axis: -1,
      momentum: 1 - this.#momentum,
      epsilon: this.#epsilon,
      center: true,
      scale: true,
    };
  }

  /** In the stock layer's order: trainable weights first. */
  #variables(): tf.Variable[] {
    return this.weights.map((weight) => weight.read() as tf.Variable);
  }
}

/** `min(max(x, 0), 6)` as one op with one gradient. */
export class ReLU6 extends tf.layers.Layer {
  static readonly className = "ReLU";

  constructor(config: { name: string }) {
    super(config);
    this.supportsMasking = true;
  }

  override call(inputs: Inputs): tf.Tensor {
    return tf.relu6(one(inputs));
  }

  override computeOutputShape(inputShape: tf.Shape): tf.Shape {
    return inputShape;
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), maxValue: 6 };
  }
}

/** Settings of {@linkcode Dropout}. */
export interface DropoutConfig {
  readonly name: string;
  /** Share of the values that are dropped. */
  readonly rate: number;
  /** Sets the masks of a model's layers apart. */
  readonly salt: number;
  /** Drop whole samples: stochastic depth (Huang et al. 2016, arXiv:1603.09382), mode "row". */
  readonly perSample?: boolean;
}

/** Dropout whose masks are functions of the step's seed; see `engine/native_ops.ts`. */
export class Dropout extends tf.layers.Layer {
  static readonly className = "Dropout";
  /** Let everything through even while training: in a frozen body. */
  frozen = false;
  readonly #config: DropoutConfig;

  constructor(config: DropoutConfig) {
    super({ name: config.name });
    this.supportsMasking = true;
    this.#config = config;
  }

  /** True if anything is dropped while training. */
  get drops(): boolean {
    return !this.frozen && this.#config.rate > 0;
  }

  override call(inputs: Inputs, { training }: Call): tf.Tensor {
    const x = one(inputs);
    const { rate, salt, perSample } = this.#config;
    return training && !this.frozen ? dropout(x, rate, salt, perSample) : tf.clone(x);
  }

  override getConfig(): tf.serialization.ConfigDict {
    const { rate, perSample } = this.#config;
    const noiseShape: tf.serialization.ConfigDict = perSample
      ? { noiseShape: [null, 1, 1, 1] }
      : {};
    return { ...super.getConfig(), rate, ...noiseShape };
  }
}

/** The logarithm of softmax over the last axis, as `nn.LogSoftmax(dim=1)` on [n, classes]. */
export class LogSoftmax extends tf.layers.Layer {
  static readonly className = "LogSoftmax";

  constructor(config: { name: string }) {
    super(config);
    this.supportsMasking = true;
  }

  override call(inputs: Inputs): tf.Tensor {
    return tf.logSoftmax(one(inputs));
  }

  override computeOutputShape(inputShape: tf.Shape): tf.Shape {
    return inputShape;
  }
}
