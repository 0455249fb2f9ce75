/**
 * Sums of small vectors over NATS, in the midst of a step: each rank sends its values, and the coordinator the sum.
 *
 * The vectors are numbered from the opening of the exchange on. A rank sends its values again until the sum comes; the
 * coordinator answers values of the last vector that is summed with its sum.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { itemAt } from "../base/item_at.ts";
import type { Incoming, Link } from "../protocol/link.ts";
import { RetriedWait } from "../protocol/retried_wait.ts";
import { smallPieces, sumSmall } from "./small_values.ts";

const FLOAT64_BYTES = Float64Array.BYTES_PER_ELEMENT;

/** The subset of `Link` that small sums use. */
type ValuesLink = Pick<Link, "subjects" | "publish" | "subscribe" | "serverGone">;

/** A rank's end. */
export class RankValues {
  readonly #link: ValuesLink;
  readonly #rank: number;
  readonly #timeoutMs: number;
  #round = 0;
  #sending: { readonly own: Float64Array; readonly wait: RetriedWait<Float64Array> } | undefined;

  constructor(link: ValuesLink, rank: number, timeoutMs: number) {
    this.#link = link;
    this.#rank = rank;
    this.#timeoutMs = timeoutMs;
  }

  /** Subscribes to the sums. */
  listen(): { unsubscribe(): void } {
    return this.#link.subscribe(this.#link.subjects.sums, {
      sum: (message) => this.#onSum(message),
    });
  }

  /** Sums a vector in place. */
  async allReduce(values: Float64Array, signal?: AbortSignal): Promise<void> {
    for (const piece of smallPieces(values)) piece.set(await this.#sum(piece, signal));
  }

  async #sum(own: Float64Array, signal: AbortSignal | undefined): Promise<Float64Array> {
    const wait = new RetriedWait<Float64Array>({
      timeoutMs: this.#timeoutMs,
      askAgain: () => this.#send(),
      isExcused: () => this.#link.serverGone,
      silence: (seconds) =>
        new LockstepError(
          `Rank ${this.#rank} got no sum of BatchNorm's moments from the coordinator for ${seconds} s`,
        ),
    });
    this.#sending = { own, wait };
    this.#send();
    try {
      const sum = await wait.result(signal);
      this.#round++;
      return sum;
    } finally {
      this.#sending = undefined;
    }
  }

  /** Sends the values whose sum is waited for, if there are any: a lost connection is back. */
  askSoon(): void {
    this.#sending?.wait.askSoon();
  }

  #send(): void {
    if (!this.#sending) return;
    const { subjects } = this.#link;
    const fields = { rank: this.#rank, round: this.#round };
    this.#link.publish(subjects.values(this.#rank), "values", fields, bytesOf(this.#sending.own));
  }

  #onSum({ header, payload }: Incoming<"sum">): void {
    const { own, wait } = this.#sending ?? {};
    if (header.round === this.#round && payload.length === own?.byteLength) {
      wait?.finish(valuesOf(payload));
    }
  }

  /** Ends a wait with an error. */
  close(error: Error): void {
    this.#sending?.wait.fail(error);
  }
}

/** The owner of a coordinator's end. */
export interface ValuesOwner {
  /** Values that were waited for have come. */
  progress(): void;
  /** The vectors can't be summed. */
  fail(error: unknown): void;
}

/** The coordinator's end. */
export class ReducerValues {
  readonly #link: ValuesLink;
  readonly #owner: ValuesOwner;
  readonly #values: (Float64Array | undefined)[];
  #round = 0;
  /** The sum of the round before. */
  #last: Float64Array | undefined;

  constructor(link: ValuesLink, worldSize: number, owner: ValuesOwner) {
    this.#link = link;
    this.#owner = owner;
    this.#values = new Array(worldSize).fill(undefined);
  }

  /** Subscribes to the values of all ranks. */
  listen(): { unsubscribe(): void } {
    return this.#link.subscribe(this.#link.subjects.values("*"), {
      values: (message) => this.#onValues(message),
    });
  }

  #onValues({ header: { rank, round }, payload }: Incoming<"values">): void {
    if (rank >= this.#values.length) return;
    if (round === this.#round - 1 && this.#last) return this.#publish(round, this.#last);
    if (round !== this.#round || this.#values[rank] || payload.length % FLOAT64_BYTES !== 0) return;
    this.#values[rank] = valuesOf(payload);
    this.#owner.progress();
    if (this.#values.every((values) => values !== undefined)) this.#sum();
  }

  #sum(): void {
    const all = this.#values.map((values) => values!);
    this.#values.fill(undefined);
    const sum = new Float64Array(itemAt(all, 0).length);
    try {
      sumSmall(sum, all);
    } catch (error) {
      return this.#owner.fail(error);
    }
    this.#last = sum;
    this.#publish(this.#round++, sum);
  }

  #publish(round: number, sum: Float64Array): void {
    this.#link.publish(this.#link.subjects.sums, "sum", { round }, bytesOf(sum));
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float64Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function valuesOf(payload: Uint8Array): Float64Array {
  return new Float64Array(payload.slice().buffer);
}
