/**
 * The worker's end of a run with one rank that computes on a GPU: its gradients are their own sum, and stay there.
 *
 * @module
 */
import type { FloatRange } from "../base/float_range.ts";
import type { StepContribution, StepResult } from "./gradient_exchange.ts";
import type { HostRecord } from "./host_link.ts";
import { MeetingEnd } from "./meeting_end.ts";
import type { RankEndOptions } from "./rank_end.ts";
import type { SumVerdict } from "./shard_sum.ts";
import { verdictOf } from "./totals.ts";

/** All-reduce of one rank. Its share of the weight is 1. */
export class LoneExchange extends MeetingEnd {
  protected override readonly ranges: readonly FloatRange[];
  protected override readonly waits = { summed: false, committed: false };
  #isFinite = true;

  constructor(options: RankEndOptions) {
    super(options);
    if (options.hosts) {
      throw new TypeError("A rank that is alone on its host sums with other hosts");
    }
    this.ranges = [options.buffers.shard];
  }

  protected override prepare(_index: number, { finite = true }: StepContribution): undefined {
    this.#isFinite = finite;
  }

  protected override sum(): SumVerdict {
    return this.ownVerdict(this.#isFinite);
  }

  protected override result(
    records: readonly HostRecord[],
    _share: SumVerdict,
    squares: number,
  ): Pick<StepResult, "finite" | "squares"> {
    return { finite: verdictOf(records).finite, squares };
  }
}
