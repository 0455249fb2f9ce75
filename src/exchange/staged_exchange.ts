/**
 * An all-reduce in memory of the CPU, for a rank that computes on a GPU: its vector comes down before, and the sum goes
 * up after.
 *
 * @module
 */
import { hostOf } from "../engine/device_memory.ts";
import type { FloatRange } from "../base/float_range.ts";
import type { GradientExchange, StepContribution, StepResult } from "./gradient_exchange.ts";
import type { StepBuffers } from "./step_buffers.ts";

/** The vectors that an exchange works on. */
type Vectors = Pick<StepBuffers, "vector" | "reduced">;

/** Brings vectors to an exchange, and its sum back. */
export class StagedExchange implements GradientExchange {
  readonly #inner: GradientExchange;
  readonly #host: Vectors;
  readonly #device: Vectors;

  /** @param host The vectors on which `inner` works; it gives the whole sum */
  constructor(inner: GradientExchange, host: Vectors, device: Vectors) {
    this.#inner = inner;
    this.#host = host;
    this.#device = device;
  }

  async reduceScatter(
    contribution: StepContribution,
    signal?: AbortSignal,
  ): Promise<readonly FloatRange[]> {
    if (contribution.samples > 0) await this.#device.vector.download(hostOf(this.#host.vector));
    const ranges = await this.#inner.reduceScatter(contribution, signal);
    if (ranges.length > 0) await this.#device.reduced.upload(hostOf(this.#host.reduced));
    return ranges;
  }

  agree(squares: number, signal?: AbortSignal): Promise<StepResult> {
    return this.#inner.agree(squares, signal);
  }

  allGather(signal?: AbortSignal): Promise<void> {
    return this.#inner.allGather(signal);
  }

  allReduce(values: Float64Array, signal?: AbortSignal): Promise<void> {
    return this.#inner.allReduce(values, signal);
  }

  close(alone?: boolean): Promise<void> {
    return this.#inner.close(alone);
  }
}
