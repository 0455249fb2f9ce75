/**
 * Metrics of the user's own, over the validation set.
 *
 * @module
 */
import { LockstepError, messageOf, UsageError } from "../base/errors.ts";
import { importModule } from "../base/user_module.ts";
import { type Tensor, type Tensor1D, type Tensor2D, type TensorFlow, tf } from "../engine/tf.ts";

/** The tensors from which a metric is computed. */
export interface MetricInputs {
  /** float32 [n, classes]. */
  readonly logits: Tensor2D;
  /** float32 [n, classes]: softmax of the logits. */
  readonly probabilities: Tensor2D;
  /** int32 [n]: the class of each sample. */
  readonly labels: Tensor1D;
}

/** A mean as its numerator and denominator, both scalars: for metrics that not every sample counts in. */
export interface SumAndCount {
  /** Scalar: added up over all batches and workers. */
  readonly sum: Tensor;
  /** Scalar: what that is divided by at the end. */
  readonly count: Tensor;
}

/**
 * A function that a metrics module exports; its name is the metric's. It gives a value for each sample [n], of which
 * the mean over the validation set is the metric, or a sum and a count.
 */
export type UserMetric = (inputs: MetricInputs, tf: TensorFlow) => Tensor | SumAndCount;

/** A metric that is ready to be traced. */
export interface Metric {
  readonly name: string;
  /** Values [n], or sum and count [1, 2]; float32. */
  readonly values: (logits: tf.Tensor2D, labels: tf.Tensor1D) => tf.Tensor;
}

/** Names that an epoch's record has already. */
const TAKEN = ["accuracy", "loss", "count"];

/**
 * Imports a metrics module: each function that it exports is a metric.
 *
 * @param url `file:` URL
 * @throws {UsageError} when it exports none, or one of a name that is taken
 */
export async function importMetrics(url: string): Promise<Metric[]> {
  const { exports } = await importModule("validate.metricsModule", url);
  const functions = Object.entries(exports).filter(([, value]) => typeof value === "function");
  if (functions.length === 0) {
    throw new UsageError(
      `validate.metricsModule: ${url} exports no function: write "export function myMetric({ logits, labels }, tf) { … }"`,
    );
  }
  const taken = functions.find(([name]) => TAKEN.includes(name));
  if (taken) {
    throw new UsageError(
      `validate.metricsModule: ${url} exports ${
        taken[0]
      }, which every run has already: give it another name`,
    );
  }
  return functions.map(([name, metric]) => metricOf(url, name, metric as UserMetric));
}

function metricOf(url: string, name: string, metric: UserMetric): Metric {
  const about = `The metric ${name} of ${url}`;
  return {
    name,
    values: (logits, labels) => {
      let value: tf.Tensor | SumAndCount;
      try {
        const probabilities = tf.softmax(logits);
        value = metric({ logits, probabilities, labels }, tf);
      } catch (error) {
        throw new LockstepError(`${about} fails: ${messageOf(error)}`, { cause: error });
      }
      const [n] = logits.shape;
      if (value instanceof tf.Tensor && value.rank === 1 && value.size === n) {
        return tf.cast(value, "float32");
      }
      const { sum, count } = (value ?? {}) as Partial<SumAndCount>;
      if (sum instanceof tf.Tensor && count instanceof tf.Tensor && sum.size + count.size === 2) {
        const parts = [sum, count].map((part) => tf.reshape(tf.cast(part, "float32"), [1]));
        return tf.reshape(tf.concat(parts), [1, 2]);
      }
      const given = value instanceof tf.Tensor ? `a tensor [${value.shape}]` : `a ${typeof value}`;
      throw new LockstepError(
        `${about} gives ${given} for ${n} samples: give a value for each, [${n}], or { sum, count } of two scalars`,
      );
    },
  };
}
