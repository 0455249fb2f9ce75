/**
 * Makes TensorFlow.js's stock layers in a model of the user's own fit for training on several workers.
 *
 * @module
 */
import { LockstepError, messageOf, UsageError } from "../base/errors.ts";
import { type BatchNormState, dropout } from "../engine/native_ops.ts";
import { exchangesMoments, synchronizedBatchNorm } from "../engine/synchronized_batch_norm.ts";
import { tf } from "../engine/tf.ts";
import "./finite_pooling.ts";
import { BatchNorm, Dropout, isFrozenLayer } from "./layers.ts";
import { type NamedLayer, namedLayers } from "./named_layers.ts";

/** A layer's `call`: its computation on a batch. */
type Call = (
  inputs: tf.Tensor | tf.Tensor[],
  kwargs: { training?: boolean },
) => tf.Tensor | tf.Tensor[];

/** Classes that draw random numbers in JavaScript at each step: no two workers would draw the same. */
const DRAWING = [
  "SpatialDropout1D",
  "GaussianNoise",
  "GaussianDropout",
  "AlphaDropout",
  "RandomWidth",
];

/**
 * Lets stock Dropout draw from the step's seed and stock BatchNorm be frozen, and has every layer say its name
 * when it fails.
 *
 * @param url The source of the model, for messages
 * @throws {UsageError} for a layer that can't be trained so
 */
export function adaptLayers(model: tf.LayersModel, url: string): void {
  namedLayers(model).forEach((named, index) => {
    refuse(named, url);
    const { name, layer } = named;
    const own = layer.getClassName();
    if (own === Dropout.className && !(layer instanceof Dropout)) adaptDropout(named, index, url);
    if (own === BatchNorm.className && !(layer instanceof BatchNorm)) adaptBatchNorm(layer);
    const call = layer.call.bind(layer) as Call;
    layer.call = ((inputs, kwargs) => {
      try {
        return call(inputs, kwargs);
      } catch (error) {
        throw new LayerError(`Layer ${name} (${own}) of ${url} fails: ${messageOf(error)}`, {
          cause: error,
        });
      }
    }) as Call;
  });
}

/** A layer of a user's own can't do its work. */
class LayerError extends LockstepError {
  override name = "LayerError";
}

function refuse({ name, layer }: NamedLayer, url: string): void {
  const own = layer.getClassName();
  const about = `Layer ${name} (${own}) of ${url}`;
  if (DRAWING.includes(own)) {
    throw new UsageError(
      `${about} draws random numbers that differ from worker to worker: use tf.layers.dropout, or leave it out`,
    );
  }
  if (layer.losses.length > 0) {
    throw new UsageError(
      `${about} has a regularizer, which training here knows nothing of: remove it and set train.weightDecay`,
    );
  }
  if (layer.weights.some((weight) => weight.constraint)) {
    throw new UsageError(
      `${about} has a constraint on its weights, which is not supported: remove it`,
    );
  }
}

/** The stock layer draws in JavaScript, where a captured step would freeze what is drawn. */
function adaptDropout({ name, layer }: NamedLayer, salt: number, url: string): void {
  const { rate, noiseShape } = layer.getConfig() as { rate: number; noiseShape?: unknown };
  if (noiseShape !== undefined && noiseShape !== null) {
    throw new UsageError(`Layer ${name} (Dropout) of ${url} has a noiseShape: leave it out`);
  }
  const call: Call = (inputs, { training }) => {
    const x = Array.isArray(inputs) ? inputs[0] : inputs;
    return training && !isFrozenLayer(layer) && rate > 0 ? dropout(x, rate, salt) : tf.clone(x);
  };
  Object.assign(layer, { call, frozen: false });
  Object.defineProperty(layer, "drops", { get: () => !isFrozenLayer(layer) && rate > 0 });
}

function adaptBatchNorm(layer: tf.layers.Layer): void {
  const stock = layer.call.bind(layer) as Call;
  const call: Call = (inputs, kwargs) => {
    const training = kwargs.training === true && !isFrozenLayer(layer);
    if (training && exchangesMoments()) return synchronized(layer as StockBatchNorm, inputs);
    return stock(inputs, { ...kwargs, training });
  };
  Object.assign(layer, { call, frozen: false });
}

/** The parts of the stock layer that its computation needs. */
type StockBatchNorm = tf.layers.Layer & {
  readonly axis: number;
  readonly momentum: number;
  readonly epsilon: number;
  readonly gamma?: tf.LayerVariable;
  readonly beta?: tf.LayerVariable;
  readonly movingMean: tf.LayerVariable;
  readonly movingVariance: tf.LayerVariable;
};

/** The stock layer's computation over the rows of all ranks; its running variance is the biased one. */
function synchronized(layer: StockBatchNorm, inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
  return tf.tidy(() => {
    const x = Array.isArray(inputs) ? inputs[0] : inputs;
    const axis = (layer.axis + x.rank) % x.rank;
    const channels = x.shape[axis];
    const others = [...x.shape.keys()].filter((own) => own !== axis);
    const last = [...others, axis];
    const isLast = axis === x.rank - 1;
    const moved = isLast ? x : tf.transpose(x, last);
    const maps = tf.reshape(moved, [x.shape[0], -1, 1, channels]) as tf.Tensor4D;
    const { gamma, beta, movingMean, movingVariance } = layer;
    const state = {
      gamma: gamma?.read() ?? tf.ones([channels]),
      beta: beta?.read() ?? tf.zeros([channels]),
      movingMean: movingMean.read(),
      movingVariance: movingVariance.read(),
    } as BatchNormState;
    const result = synchronizedBatchNorm(maps, state, 1 - layer.momentum, layer.epsilon, 0);
    movingMean.write(result.movingMean);
    movingVariance.write(result.movingVariance);
    const y = tf.reshape(result.y, moved.shape);
    return isLast ? y : tf.transpose(y, [...x.shape.keys()].map((own) => last.indexOf(own)));
  });
}
