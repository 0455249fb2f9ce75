/**
 * What one rank has sent for its current step.
 *
 * @module
 */
import type { Fields } from "../protocol/messages.ts";
import { chunkLength, type ChunkPlan } from "./chunks.ts";
import { compareSteps, type RankTimes, type StepKey } from "./gradient_exchange.ts";
import type { RankCounts } from "./totals.ts";

/** Keeps a rank's chunks until they are summed, in memory that is used again and again. */
export class RankInbox implements RankCounts {
  readonly rank: number;
  readonly #plan: ChunkPlan;
  readonly #chunks: (Float32Array | undefined)[];
  readonly #taken: Uint8Array; // 1 for each chunk that is summed already
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  #place: StepKey | undefined;
  #contribution: Fields<"contribution"> | undefined;

  constructor(rank: number, plan: ChunkPlan) {
    this.rank = rank;
    this.#plan = plan;
    this.#chunks = new Array(plan.count).fill(undefined);
    this.#taken = new Uint8Array(plan.count);
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
  get times(): RankTimes | undefined {
    return this.#contribution?.times ?? undefined;
  }

  /** Whether the rank's contribution to this step is here. */
  hasBegun(step: StepKey): boolean {
    return this.#contribution !== undefined && compareSteps(this.#contribution, step) === 0;
  }

  /** Takes a contribution; returns whether it is news. */
  begin(contribution: Fields<"contribution">): boolean {
    if (!this.#moveTo(contribution) || this.#contribution) return false;
    this.#contribution = contribution;
    return true;
  }

  /** Copies a chunk; returns whether it is news. */
  add(place: StepKey, chunk: number, payload: Uint8Array): boolean {
    if (chunk >= this.#plan.count || payload.length !== chunkLength(this.#plan, chunk)) {
      return false;
    }
    if (!this.#moveTo(place) || this.#chunks[chunk] || this.#taken[chunk]) return false;
    const memory = this.#free.pop() ?? new Uint8Array(this.#plan.chunkBytes);
    memory.set(payload);
    this.#chunks[chunk] = new Float32Array(memory.buffer, 0, payload.length / 4);
    return true;
  }

  /** Whether a chunk is here and not yet summed. */
  has(chunk: number): boolean {
    return this.#chunks[chunk] !== undefined;
  }

  /** A chunk's values; valid until its release. */
  chunk(chunk: number): Float32Array {
    return this.#chunks[chunk]!;
  }

  /** The chunks that the rank may have sent and that are not here. */
  missing(summed: number): number[] {
    const end = Math.min(this.#plan.count, summed + this.#plan.window);
    const chunks: number[] = [];
    for (let chunk = summed; chunk < end; chunk++) if (!this.has(chunk)) chunks.push(chunk);
    return chunks;
  }

  /** Gives a chunk's memory back once it is summed. */
  release(chunk: number): void {
    const values = this.#chunks[chunk];
    if (values) this.#free.push(new Uint8Array(values.buffer as ArrayBuffer));
    this.#chunks[chunk] = undefined;
    this.#taken[chunk] = 1;
  }

  /** Moves on to a later step; returns false for an earlier one. */
  #moveTo({ epoch, step }: StepKey): boolean {
    const order = this.#place ? compareSteps({ epoch, step }, this.#place) : 1;
    if (order <= 0) return order === 0;
    this.#place = { epoch, step };
    this.#contribution = undefined;
    for (let chunk = 0; chunk < this.#plan.count; chunk++) this.release(chunk);
    this.#taken.fill(0);
    return true;
  }
}
