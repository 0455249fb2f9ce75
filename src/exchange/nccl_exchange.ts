/**
 * The worker's end of the all-reduce by NCCL, for ranks that compute on GPUs of their own, on one host or on several.
 *
 * The ranks of a host meet in shared memory, as those that sum there do: their records, the coordinator's grants and the
 * verdict go through it, and the records through the link to other hosts. The vectors don't leave the GPUs. Each rank looks at its own vector before the sum, so that the one whose
 * values are not finite is known. Each gets the whole sum, and updates a whole replica.
 *
 * @module
 */
import { type FloatRange, overlap, shardOf } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import type { StepContribution, StepResult } from "./gradient_exchange.ts";
import type { HostRecord } from "./host_link.ts";
import { VersionedMemory } from "../engine/versioned_memory.ts";
import { meetingBytes } from "./meeting.ts";
import { MeetingEnd } from "./meeting_end.ts";
import type { NcclParts } from "./open_nccl.ts";
import type { ExchangeLink, RankEndOptions } from "./rank_end.ts";
import type { SumVerdict } from "./shard_sum.ts";
import { gradientFloats, type RankShape, rankShards, type StepBuffers } from "./step_buffers.ts";
import { closedError } from "./silence.ts";
import type { StepRecord } from "./step_record.ts";
import { type SumWeights, verdictOf } from "./totals.ts";

/**
 * Makes a rank's buffers on its GPU.
 *
 * @param segment The memory in which the ranks meet
 */
export function makeBuffers(
  { worldSize, vectorBytes, regions: count, sumInRegion = false }: RankShape,
  segment: Uint8Array<ArrayBuffer> | undefined,
  nccl: NcclParts | undefined,
): StepBuffers {
  if (!segment || !nccl) throw new TypeError("An exchange by NCCL without a segment or NCCL");
  const make = () => nccl.device.allocate(vectorBytes);
  const { vector, reduced } = nccl;
  // The first region's first version is the memory of the sum, where that is wanted.
  const regions = Array.from(
    { length: count },
    (_, region) => new VersionedMemory(sumInRegion && region === 0 ? reduced : make(), make),
  );
  const meeting = segment.subarray(0, meetingBytes(worldSize));
  return { vector, reduced, regions, shard: shardOf(0, 1, vectorBytes), meeting };
}

/** Joins the other ranks, which have agreed on NCCL. */
export function openExchange(
  _link: ExchangeLink,
  options: RankEndOptions,
): Promise<NcclGradientExchange> {
  const { nccl } = options;
  if (!nccl) throw new TypeError("An exchange by NCCL without NCCL");
  return Promise.resolve(new NcclGradientExchange(options, nccl));
}

/** All-reduce by NCCL. */
export class NcclGradientExchange extends MeetingEnd {
  readonly sumsOnDevice = true;
  protected override readonly ranges: readonly FloatRange[];
  // All ranks get the same squares, whatever their cards add up in which order.
  protected override readonly waits = { summed: true, committed: false };
  /** As in `GradientExchange`; missing where no bucket is summed before the vector is whole. */
  readonly offer?: (contribution: StepContribution, begin: number) => void;
  readonly #nccl: NcclParts;
  readonly #gradientFloats: number;
  readonly #sumTimeoutMs: number;
  readonly #floats: number;
  /** The contribution of the step that this rank is in. */
  #own: StepContribution | undefined;
  /** The sums that have begun before the vector is whole, and whether what they sum is finite. */
  #early: Promise<{ readonly weights: SumWeights; readonly finite: boolean }> | undefined;
  /** The float from which on the vector is offered. */
  #offered: number;
  #isSumming = false;

  constructor(options: RankEndOptions, nccl: NcclParts) {
    super(options);
    this.#nccl = nccl;
    this.#gradientFloats = gradientFloats(options);
    this.#sumTimeoutMs = options.sumTimeoutMs ?? this.timeoutMs;
    this.#floats = options.vectorBytes / Float32Array.BYTES_PER_ELEMENT;
    this.#offered = this.#floats;
    this.ranges = rankShards(options);
    if (nccl.sumsEarly) this.offer = (own, begin) => this.#offer(own, begin);
  }

  override async reduceScatter(
    contribution: StepContribution,
    signal?: AbortSignal,
  ): Promise<readonly FloatRange[]> {
    this.#own = contribution;
    return await super.reduceScatter(contribution, signal);
  }

  protected override async prepare(
    _index: number,
    own: StepContribution,
    record: StepRecord,
  ): Promise<void> {
    const finite = await this.#look(own, { begin: 0, end: this.#floats });
    record.share({ ...this.ownVerdict(finite), squares: 0 });
  }

  protected override async sum(
    index: number,
    weights: SumWeights,
    signal: AbortSignal | undefined,
    records: readonly HostRecord[],
  ): Promise<SumVerdict> {
    const { sum, sumsEarly } = this.#nccl;
    const record = itemAt(this.meeting.records.of(index), this.rank);
    let own = this.ownVerdict(record.finite);
    // Each rank decides alike: all records have been there since the contributions.
    if (!sumsEarly && !verdictOf(records).finite) {
      return { ...own, finite: false };
    }
    this.#isSumming = true;
    try {
      if (this.#early) {
        const rest = this.#look(this.#own!, { begin: 0, end: this.#offered });
        rest.catch(() => {}); // awaited below, unless the other part fails first
        const { finite } = await this.#early;
        own = this.ownVerdict(await rest && finite);
      }
      await sum.finish(weights, { signal, timeoutMs: this.#sumTimeoutMs });
    } finally {
      this.#early = undefined;
      this.#offered = this.#floats;
      this.#isSumming = false;
    }
    return own;
  }

  protected override result(
    records: readonly HostRecord[],
    _share: SumVerdict,
    _squares: number,
  ): Pick<StepResult, "finite" | "squares"> {
    return { finite: verdictOf(records).finite, squares: itemAt(records, 0).squares };
  }

  override async close(alone = false): Promise<void> {
    await super.close();
    const { communicator, stream } = this.#nccl;
    await (alone || this.#isSumming || this.#early
      ? communicator.abort(closedError())
      : communicator.close());
    // What was enqueued before the abort has ended by now; a lost GPU does nothing any more.
    await this.#early?.catch(() => {});
    stream[Symbol.dispose]();
  }

  #offer(own: StepContribution, begin: number): void {
    const { sum } = this.#nccl;
    const before = this.#early ??
      this.weightsOf(this.beginOffering(own)).then((weights) => ({ weights, finite: true }));
    // The look is enqueued behind the ops that make this part, and before those that make the next one: when it is read,
    // this part is there.
    const look = this.#look(own, { begin, end: this.#offered });
    this.#offered = begin;
    this.#early = Promise.all([before, look]).then(async ([{ weights, finite }, isFinite]) => {
      await sum.begin(weights, begin, { timeoutMs: this.#sumTimeoutMs });
      return { weights, finite: finite && isFinite };
    });
    this.#early.catch(() => {}); // reduceScatter() throws it
  }

  /**
   * Looks whether those of this rank's values in a range that count are finite, when they are there. A step that has
   * read its flag with its loss needs no further read.
   */
  async #look(
    { samples, statisticsRows = samples, finite }: StepContribution,
    range: FloatRange,
  ): Promise<boolean> {
    if (finite) return true;
    const { device, vector } = this.#nccl;
    const counting = overlap(range, {
      begin: samples > 0 ? 0 : this.#gradientFloats,
      end: statisticsRows > 0 ? this.#floats : this.#gradientFloats,
    });
    return counting.end <= counting.begin || await device.isFinite(vector, counting);
  }
}
