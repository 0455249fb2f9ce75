/**
 * The messages that one rank has sent for its current step.
 *
 * @module
 */
import type { Fields } from "../protocol/messages.ts";
import type { ChunkPlan } from "./chunks.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import type { StepTimes } from "../base/step_times.ts";
import { widen } from "./narrow.ts";
import type { RankCounts } from "./totals.ts";

/** A chunk as float32 values. */
interface ReceivedChunk {
  readonly values: Float32Array<ArrayBuffer>;
  /** A finite value of it became infinite on its way. */
  readonly tooLarge: boolean;
}

/** Keeps a rank's chunks until they are summed, in memory that is used again and again. */
export class RankInbox implements RankCounts {
  readonly rank: number;
  readonly #plan: ChunkPlan;
  readonly #chunks: (ReceivedChunk | undefined)[];
  readonly #taken: Uint8Array; // 1 for each chunk that is summed already
  readonly #free: ArrayBuffer[] = [];
  #place: StepKey | undefined;
  #contribution: Fields<"contribution"> | undefined;

  constructor(rank: number, plan: ChunkPlan) {
    this.rank = rank;
    this.#plan = plan;
    const { length } = plan.chunks;
    this.#chunks = new Array(length).fill(undefined);
    this.#taken = new Uint8Array(length);
  }

  /** The step that the rank is in, as far as its messages tell. */
  get place(): StepKey | undefined {
    return this.#place;
  }
  get samples(): number {
    return this.#contribution?.samples ?? 0;
  }
  get weight(): number {
    return this.#contribution?.weight ?? 0;
  }
  get lossSum(): number {
    return Number(this.#contribution?.lossSum ?? 0);
  }
  get correct(): number {
    return this.#contribution?.correct ?? 0;
  }
  get statisticsRows(): number {
    return this.#contribution?.statisticsRows ?? 0;
  }
  get trackedBatches(): number {
    return this.#contribution?.trackedBatches ?? 0;
  }
  get times(): StepTimes | undefined {
    return this.#contribution?.times ?? undefined;
  }
  get digest(): number | undefined {
    return this.#contribution?.digest;
  }

  /** Tells whether the rank's contribution to this step has arrived. */
  hasBegun(step: StepKey): boolean {
    return this.#contribution !== undefined && compareSteps(this.#contribution, step) === 0;
  }

  /** Takes a contribution; returns whether it is news. */
  begin(contribution: Fields<"contribution">): boolean {
    if (!this.#moveTo(contribution) || this.#contribution) return false;
    this.#contribution = contribution;
    return true;
  }

  /** Copies a chunk, as float32 values; returns whether it is news. */
  add(
    { chunk, tooLarge, ...place }: StepKey & { chunk: number; tooLarge: boolean },
    payload: Uint8Array,
  ): boolean {
    const planned = this.#plan.chunks[chunk];
    if (payload.length !== planned?.bytes) return false;
    if (!this.#moveTo(place) || this.#chunks[chunk] || this.#taken[chunk]) return false;
    const memory = this.#free.pop() ?? new ArrayBuffer(this.#plan.floatBytes);
    const values = new Float32Array(memory, 0, planned.floats);
    if (planned.dtype === "float32") new Uint8Array(memory).set(payload);
    else widen(values, payload, planned.dtype);
    this.#chunks[chunk] = { values, tooLarge };
    return true;
  }

  /** Tells whether a chunk has arrived and is not yet summed. */
  has(chunk: number): boolean {
    return this.#chunks[chunk] !== undefined;
  }

  /** A chunk that has arrived; valid until its release. */
  chunk(chunk: number): ReceivedChunk {
    return this.#chunks[chunk]!;
  }

  /** The chunks that the rank may have sent and that are not here. */
  missing(summed: number): number[] {
    const end = Math.min(this.#plan.chunks.length, summed + this.#plan.window);
    const chunks: number[] = [];
    for (let chunk = summed; chunk < end; chunk++) if (!this.has(chunk)) chunks.push(chunk);
    return chunks;
  }

  /** Gives a chunk's memory back once it is summed. */
  release(chunk: number): void {
    const received = this.#chunks[chunk];
    if (received) this.#free.push(received.values.buffer);
    this.#chunks[chunk] = undefined;
    this.#taken[chunk] = 1;
  }

  /** Moves on to a later step; returns false for an earlier one. */
  #moveTo({ epoch, step }: StepKey): boolean {
    const order = this.#place ? compareSteps({ epoch, step }, this.#place) : 1;
    if (order <= 0) return order === 0;
    this.#place = { epoch, step };
    this.#contribution = undefined;
    this.#chunks.forEach((_, chunk) => this.release(chunk));
    this.#taken.fill(0);
    return true;
  }
}
