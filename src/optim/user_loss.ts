/**
 * Losses of the user's own.
 *
 * @module
 */
import { LockstepError, messageOf } from "../base/errors.ts";
import { exportedFunction, importModule } from "../base/user_module.ts";
import { type Tensor1D, type Tensor2D, type TensorFlow, tf } from "../engine/tf.ts";
import type { LossFunction } from "./loss.ts";

/** The targets with which a batch's logits are compared. */
export interface LossTargets {
  /** int32 [n]: the class of each sample. */
  readonly labels: Tensor1D;
  /** float32 [n, classes]: each row adds up to 1; with label smoothing, and mixed where images are. */
  readonly targets: Tensor2D;
}

/**
 * The function that a loss module exports as `lossPerSample`: float32 [n], the loss of each sample,
 * differentiable. Class weights and the mean over the batch are Lockstep's part.
 */
export type UserLoss = (logits: Tensor2D, targets: LossTargets, tf: TensorFlow) => Tensor1D;

/**
 * Imports a loss module.
 *
 * @param url `file:` URL
 * @throws {UsageError} when there is none
 */
export async function importLoss(url: string): Promise<LossFunction> {
  const module = await importModule("train.lossModule", url);
  const loss = exportedFunction<UserLoss>(module, "lossPerSample");
  return (logits, labels, targets) => {
    let losses: tf.Tensor;
    try {
      losses = loss(logits, { labels, targets }, tf);
    } catch (error) {
      throw new LockstepError(`lossPerSample of ${url} fails: ${messageOf(error)}`, {
        cause: error,
      });
    }
    if (
      losses instanceof tf.Tensor && losses.dtype === "float32" && losses.rank === 1 &&
      losses.shape[0] === logits.shape[0]
    ) return losses as Tensor1D;
    throw new LockstepError(
      `lossPerSample of ${url} gives ${describe(losses)} for ${
        logits.shape[0]
      } samples: give a loss for each, ` +
        `float32 [${logits.shape[0]}]`,
    );
  };
}

function describe(value: unknown): string {
  return value instanceof tf.Tensor ? `${value.dtype} [${value.shape}]` : `a ${typeof value}`;
}
