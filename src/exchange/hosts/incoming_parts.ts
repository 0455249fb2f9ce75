/**
 * The parts of vectors that a rank receives from one rank of a neighbouring host, one way: in order, each once.
 *
 * @module
 */
import type { Link } from "../../protocol/link.ts";
import { floatsOf } from "../../base/float_range.ts";
import type { Fields } from "../../protocol/messages.ts";
import type { RetriedWait } from "../../protocol/retried_wait.ts";
import { widen } from "../narrow.ts";
import { ExchangeError } from "../silence.ts";
import { VALUE_BYTES } from "./outgoing_parts.ts";
import type { PartMemory } from "./part_memory.ts";
import type { WaitForPeer } from "./peer_waits.ts";

/** Parts that may be ahead of the one that is waited for, and those that one message asks for again. */
const MAX_AHEAD = 4096;
const MAX_ASKED = 256;

/** The way of the parts. */
export interface IncomingOptions {
  /** The connection to the sender's server. */
  readonly notes: Link;
  readonly notesSubject: string;
  /** This end, for the answers. */
  readonly receiver: Pick<Fields<"hostAck">, "way" | "host" | "rank">;
  /** Bytes after whose use the sender is told. */
  readonly ackBytes: number;
  readonly memory: PartMemory;
  readonly wait: WaitForPeer;
}

/** A part that has come. */
interface Part {
  readonly begin: number;
  readonly floats: number;
  readonly dtype: Fields<"hostPart">["dtype"];
  /** Its values in their format; nothing for an empty part. */
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
}

/** The receiver's end. */
export class IncomingParts {
  readonly #options: IncomingOptions;
  readonly #parts = new Map<number, Part>();
  #taken = 0;
  #unacknowledged = 0;
  /** The parts before this one have come, or were asked for. */
  #known = 0;
  #next: RetriedWait<void> | undefined;

  constructor(options: IncomingOptions) {
    this.#options = options;
  }

  /** A part has come, maybe not for the first time. */
  onPart({ part, begin, floats, dtype, isEmpty }: Fields<"hostPart">, payload: Uint8Array): void {
    this.#next?.progress();
    if (part < this.#taken) return this.#acknowledge();
    if (part >= this.#taken + MAX_AHEAD || this.#parts.has(part)) return;
    if (payload.length !== (isEmpty ? 0 : floats * VALUE_BYTES[dtype])) return;
    const bytes = isEmpty ? undefined : this.#options.memory.take(payload.length);
    bytes?.set(payload);
    this.#parts.set(part, { begin, floats, dtype, bytes });
    if (part > this.#known) this.#acknowledge(this.#missing(this.#known, part));
    this.#known = Math.max(this.#known, part + 1);
    if (part === this.#taken) this.#next?.finish();
  }

  /** A part has come damaged. */
  onDamaged(part: number): void {
    if (part >= this.#taken && !this.#parts.has(part)) this.#acknowledge([part]);
  }

  /** The sender says how far it is, and all that it has sent has come or is lost. */
  onProbe({ sent }: Fields<"hostProbe">): void {
    this.#next?.progress();
    this.#acknowledge(this.#missing(this.#taken, Math.min(sent, this.#taken + MAX_AHEAD)));
  }

  /**
   * Takes the next part, which must begin at `begin`, as soon as it is here.
   *
   * @param put Gets its values, a view that is valid during the call; nothing where no rank has a share in it
   * @returns Its floats
   */
  async take(
    begin: number,
    signal: AbortSignal | undefined,
    put: (values: Float32Array | undefined) => void,
  ): Promise<number> {
    while (!this.#parts.has(this.#taken)) await this.#untilNext(signal);
    const part = this.#parts.get(this.#taken)!;
    if (part.begin !== begin) {
      const { host, rank } = this.#options.receiver;
      throw new ExchangeError(
        `Rank ${rank} of host ${host} was to get a vector's values from ${begin} on, and got those from ${part.begin} ` +
          "on: the hosts are in different steps, or have different models",
      );
    }
    this.#parts.delete(this.#taken++);
    this.#known = Math.max(this.#known, this.#taken);
    put(part.bytes && valuesOf(part, part.bytes));
    if (part.bytes) this.#options.memory.give(part.bytes);
    this.#unacknowledged += part.bytes?.byteLength ?? 0;
    if (this.#unacknowledged >= this.#options.ackBytes || !this.#parts.has(this.#taken)) {
      this.#acknowledge();
    }
    return part.floats;
  }

  async #untilNext(signal: AbortSignal | undefined): Promise<void> {
    const ask = () => this.#acknowledge([], true);
    try {
      await this.#options.wait(ask, signal, (wait) => this.#next = wait);
    } finally {
      this.#next = undefined;
    }
  }

  /** The parts in a range that have not come. */
  #missing(from: number, to: number): number[] {
    const missing: number[] = [];
    for (let part = from; part < to && missing.length < MAX_ASKED; part++) {
      if (!this.#parts.has(part)) missing.push(part);
    }
    return missing;
  }

  #acknowledge(missing: number[] = [], asks = false): void {
    const { notes, notesSubject, receiver } = this.#options;
    this.#unacknowledged = 0;
    notes.publish(notesSubject, "hostAck", { ...receiver, taken: this.#taken, missing, asks });
  }
}

function valuesOf({ floats, dtype }: Part, bytes: Uint8Array<ArrayBuffer>): Float32Array {
  if (dtype === "float32") return floatsOf(bytes);
  const values = new Float32Array(floats);
  widen(values, bytes, dtype);
  return values;
}
