/**
 * The worker's end of the all-reduce in shared memory where ranks compute on GPUs.
 *
 * Each rank's gradients come down into its slot by one copy, the ranks add their shards on the CPU as those without
 * GPUs do, with the same bits, and the whole sum goes up by one copy. Each GPU then updates all of its replica, so that
 * nobody waits for an update of others.
 *
 * The ranks meet twice in a step. The sum of a step may be overwritten once all ranks have contributed to the next one:
 * each has copied the sum by then. A slot may be overwritten once the sum is made, where its rank goes on.
 *
 * @module
 */
import { type FloatRange, floatsOf, shardOf } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import {
  allocatePinned,
  CudaStream,
  pinMemory,
  type PinnedMemory,
} from "../engine/binding/cuda_memory.ts";
import type { StepContribution, StepResult } from "./gradient_exchange.ts";
import type { HostRecord } from "./host_link.ts";
import { MeetingEnd } from "./meeting_end.ts";
import type { RankEndOptions } from "./rank_end.ts";
import { ShardSum, type SumVerdict } from "./shard_sum.ts";
import { gradientFloats } from "./step_buffers.ts";
import { type SumWeights, verdictOf } from "./totals.ts";

/** All-reduce of GPUs in shared memory. */
export class PinnedExchange extends MeetingEnd {
  protected override readonly ranges: readonly FloatRange[];
  protected override readonly waits: { readonly summed: boolean; readonly committed: boolean };
  readonly #options: RankEndOptions;
  /** By the step's number modulo 1 or 2: the slots are used in turn where each rank makes the whole sum. */
  readonly #sums: readonly ShardSum[];
  readonly #slots: readonly PinnedMemory[];
  readonly #sum: PinnedMemory;
  readonly #copies = new CudaStream();
  #isClosed = false;

  /** @param slots As `StepBuffers.peers` */
  constructor(options: RankEndOptions, slots: readonly (readonly Uint8Array<ArrayBuffer>[])[]) {
    super(options);
    const { rank, worldSize, vectorBytes, buffers: { sum } } = options;
    this.#options = options;
    const isWhole = slots.length > 1;
    this.#slots = slots.map((ranks) => pinMemory(itemAt(ranks, rank)));
    this.#sum = sum ? pinMemory(sum) : allocatePinned(vectorBytes);
    const shard = isWhole ? shardOf(0, 1, vectorBytes) : shardOf(rank, worldSize, vectorBytes);
    this.#sums = slots.map((ranks) =>
      new ShardSum(
        floatsOf(this.#sum.bytes),
        ranks.map(floatsOf),
        shard,
        gradientFloats(options),
        undefined,
      )
    );
    this.ranges = [];
    this.waits = { summed: !isWhole, committed: false };
  }

  protected override async prepare(index: number, { samples }: StepContribution): Promise<void> {
    if (samples === 0) return; // the vector is ignored
    const { vector } = this.#options.buffers;
    const { address } = itemAt(this.#slots, index % this.#slots.length);
    this.#copies.copy(address, vector.address, vector.byteLength);
    await this.#copies.done();
  }

  protected override sum(
    index: number,
    weights: SumWeights,
    signal: AbortSignal | undefined,
  ): SumVerdict | Promise<SumVerdict> {
    const sum = itemAt(this.#sums, index % this.#sums.length);
    return this.hosts ? sum.makeWith(this.hosts, weights, signal) : sum.make(weights);
  }

  protected override result(
    records: readonly HostRecord[],
    share: SumVerdict,
  ): Pick<StepResult, "finite" | "squares"> {
    const finite = this.waits.summed
      ? verdictOf(records).finite
      : share.finite && records.every(({ lossSum }) => Number.isFinite(lossSum));
    return { finite, squares: 0 }; // the GPU itself limits the norm
  }

  override async agree(squares: number, signal?: AbortSignal): Promise<StepResult> {
    const result = await super.agree(squares, signal);
    if (result.finite) {
      const { reduced } = this.#options.buffers;
      this.#copies.copy(reduced.address, this.#sum.address, reduced.byteLength);
      await this.#copies.done();
    }
    return result;
  }

  override async close(): Promise<void> {
    await super.close();
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#copies.done().catch(() => {}); // a lost GPU copies nothing
    this.#copies[Symbol.dispose]();
    for (const memory of [...this.#slots, this.#sum]) memory[Symbol.dispose]();
  }
}
