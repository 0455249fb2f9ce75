/**
 * The coordinator's end of an exchange within one process: it adds the vectors where they stand.
 *
 * @module
 */
import { floatsOf } from "../../src/base/float_range.ts";
import type { StepKey } from "../../src/base/step_key.ts";
import { planChunks } from "../../src/exchange/chunks.ts";
import type { ExchangeLink } from "../../src/exchange/rank_end.ts";
import {
  ReducerEnd,
  type ReducerEndOptions,
  type ReducingStep,
  type SummingStep,
} from "../../src/exchange/reducer_end.ts";
import { gradientFloats } from "../../src/exchange/step_buffers.ts";
import type { SumWeights } from "../../src/exchange/totals.ts";
import { allFinite, weightedSum } from "../../src/exchange/weighted_sum.ts";
import { VECTORS } from "./loopback_exchange.ts";

/** Opens the coordinator's end. */
export async function openReducer(
  link: ExchangeLink,
  options: ReducerEndOptions,
): Promise<LoopbackReducer> {
  return await LoopbackReducer.open(link, options);
}

/** Sums the vectors of the `LoopbackExchange`s of its process. */
export class LoopbackReducer extends ReducerEnd<SumWeights> {
  readonly #border: number;

  private constructor(link: ExchangeLink, options: ReducerEndOptions) {
    super(link, options, planChunks(0, options.worldSize, link.maxPayloadBytes));
    this.#border = gradientFloats(options);
    VECTORS.set(link.subjects, { sum: new Uint8Array(options.vectorBytes), ranks: [] });
  }

  /** As {@linkcode openReducer}. */
  static async open(link: ExchangeLink, options: ReducerEndOptions): Promise<LoopbackReducer> {
    return await new LoopbackReducer(link, options).open();
  }

  protected override listen() {
    return this.link.subscribe(this.link.subjects.gradient("*"), {
      contribution: (message) => this.onContribution(message),
    });
  }

  protected override mismatchOf(): undefined {}

  protected override beginSum(_: StepKey, weights: SumWeights): SumWeights {
    return weights;
  }

  protected override sum(step: SummingStep<SumWeights>): void {
    const vectors = VECTORS.get(this.link.subjects)!;
    const { gradients, statistics } = step.phase.transfer;
    const sum = floatsOf(vectors.sum);
    const parts = [
      { begin: 0, end: this.#border, weights: gradients },
      { begin: this.#border, end: sum.length, weights: statistics },
    ];
    for (const { begin, end, weights } of parts) {
      const senders = [...weights.keys()].filter((rank) => weights[rank] !== null);
      const own = senders.map((rank) => floatsOf(vectors.ranks[rank]).subarray(begin, end));
      const counted = senders.map((rank) => weights[rank]!);
      if (weightedSum(sum.subarray(begin, end), own, counted)) continue;
      this.spoil(step, senders.find((_, index) => !allFinite(own[index])));
    }
    this.finish(step);
  }

  protected override awaited(step: ReducingStep<SumWeights>) {
    const absent = this.ranks.filter((inbox) => !inbox.hasBegun(step));
    return { ranks: absent.map(({ rank }) => rank), what: "gradients" };
  }

  protected override askRanks(): void {}

  protected override onMissing(): void {}
}
