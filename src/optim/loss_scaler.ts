/**
 * Dynamic loss scaling (Micikevicius et al. 2018, arXiv:1710.03740), by the rule of PyTorch's `GradScaler`.
 *
 * float16 has no numbers below 6e-8: small gradients would become 0. The loss is multiplied before the backward pass, and
 * the summed gradients are divided by the same number. A step whose gradients overflow is skipped.
 *
 * @module
 */

/** State of a {@linkcode LossScaler}. */
export interface LossScale {
  /** The factor of the loss. */
  readonly scale: number;
  /** Steps without an overflow since the factor last changed. */
  readonly growthTracker: number;
}

/** Settings, with PyTorch's names and defaults. */
export interface LossScalerOptions {
  /** Factor at each growth (default 2). */
  readonly growthFactor?: number;
  /** Factor after an overflow (default 0.5). */
  readonly backoffFactor?: number;
  /** Steps without an overflow before a growth (default 2000). */
  readonly growthInterval?: number;
}

/** The state before the first step. */
export const INITIAL_LOSS_SCALE: LossScale = { scale: 65536, growthTracker: 0 };

/**
 * The smallest factor. An overflow with it is not the factor's fault: unscaled gradients would be infinite in float16,
 * too.
 */
export const MIN_LOSS_SCALE = 2 ** -14;

/** The factor of the loss, and how it changes from step to step. Computes in float32. */
export class LossScaler {
  readonly #options: Required<LossScalerOptions>;
  #scale: number;
  #growthTracker: number;

  constructor(
    { scale, growthTracker }: LossScale = INITIAL_LOSS_SCALE,
    { growthFactor = 2, backoffFactor = 0.5, growthInterval = 2000 }: LossScalerOptions = {},
  ) {
    this.#options = { growthFactor, backoffFactor, growthInterval };
    this.#scale = Math.fround(scale);
    this.#growthTracker = growthTracker;
  }

  /** The factor of the loss. */
  get scale(): number {
    return this.#scale;
  }

  /** The state, for a checkpoint. */
  get state(): LossScale {
    return { scale: this.#scale, growthTracker: this.#growthTracker };
  }

  /**
   * Ends a step that had gradients.
   *
   * @param hasOverflowed True when a gradient was not finite, so that the step was skipped
   */
  update(hasOverflowed: boolean): void {
    const { growthFactor, backoffFactor, growthInterval } = this.#options;
    if (hasOverflowed) {
      this.#scale = Math.fround(this.#scale * backoffFactor);
      this.#growthTracker = 0;
      return;
    }
    this.#growthTracker++;
    if (this.#growthTracker < growthInterval) return;
    const grown = Math.fround(this.#scale * growthFactor);
    if (Number.isFinite(grown)) this.#scale = grown;
    this.#growthTracker = 0;
  }
}
