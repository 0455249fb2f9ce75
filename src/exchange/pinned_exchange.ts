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
import { type FloatRange, shardOf } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import {
  allocatePinned,
  CudaStream,
  pinMemory,
  type PinnedMemory,
} from "../engine/binding/cuda_memory.ts";
import type { StepContribution, StepResult } from "./gradient_exchange.ts";
import type { HostRecord } from "./host_link.ts";
import type { RankEndOptions } from "./rank_end.ts";
import type { SumVerdict } from "./shard_sum.ts";
import { SlotSumEnd } from "./slot_sum_end.ts";

/** All-reduce of GPUs in shared memory. */
export class PinnedExchange extends SlotSumEnd {
  protected override readonly ranges: readonly FloatRange[] = [];
  protected override readonly waits: { readonly summed: boolean; readonly committed: boolean };
  readonly #options: RankEndOptions;
  readonly #slots: readonly PinnedMemory[];
  readonly #sum: PinnedMemory;
  readonly #copies = new CudaStream();
  #isClosed = false;

  /** @param slots As `StepBuffers.peers` */
  constructor(options: RankEndOptions, slots: readonly (readonly Uint8Array<ArrayBuffer>[])[]) {
    const { rank, worldSize, vectorBytes, buffers } = options;
    const pinned = slots.map((ranks) => pinMemory(itemAt(ranks, rank)));
    const sum = buffers.sum ? pinMemory(buffers.sum) : allocatePinned(vectorBytes);
    const range = slots.length > 1
      ? shardOf(0, 1, vectorBytes)
      : shardOf(rank, worldSize, vectorBytes);
    super(options, { slots, sum: sum.bytes, range });
    this.#options = options;
    this.#slots = pinned;
    this.#sum = sum;
    this.waits = { summed: !this.isWhole, committed: false };
  }

  protected override async prepare(index: number, { samples }: StepContribution): Promise<void> {
    if (samples === 0) return; // the vector is ignored
    const { vector } = this.#options.buffers;
    const { address } = itemAt(this.#slots, index % this.#slots.length);
    this.#copies.copy(address, vector.address, vector.byteLength);
    await this.#copies.done();
  }

  protected override result(
    records: readonly HostRecord[],
    share: SumVerdict,
  ): Pick<StepResult, "finite" | "squares"> {
    return { finite: this.isFinite(records, share), squares: 0 }; // the GPU itself limits the norm
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
