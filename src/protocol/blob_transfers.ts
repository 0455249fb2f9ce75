/**
 * Large bytes (initial weights, checkpoints) from one process to another: the one offers, the other pulls
 * piece by piece, asks again for what does not come, and checks every piece.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { LockstepError } from "../base/errors.ts";
import type { Incoming, Link } from "./link.ts";
import type { Header, Transfer } from "./messages.ts";
import { RetriedWait } from "./retried_wait.ts";

const PREFERRED_CHUNK_BYTES = 2 * 1024 * 1024;
/** Bytes of a transfer; the largest, a whole state, has a few times the bytes of the parameters. */
const MAX_BYTES = 2 ** 36;
const PIECES_UNDER_WAY = 4;
const TIMEOUT_MS = 60_000;

/** Bytes that others may pull until `withdraw` is called. */
export interface Offer {
  readonly transfer: Transfer;
  withdraw(): void;
}

/** The subset of `Link` that transfers use. */
export type BlobLink = Pick<
  Link,
  "subjects" | "publish" | "subscribe" | "onReconnect" | "flush" | "maxPayloadBytes" | "serverGone"
>;

interface Pulling {
  readonly transfer: Transfer;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly arrived: Uint8Array; // 1 for each piece that is here
  arrivedCount: number;
  requested: number;
  readonly wait: RetriedWait<void>;
}

/** One process's end of the transfers of large blobs. */
export class BlobTransfers {
  readonly #link: BlobLink;
  readonly #name: string;
  readonly #offers = new Map<string, { bytes: Uint8Array; chunkBytes: number }>();
  readonly #pulls = new Map<string, Pulling>();
  readonly #subscriptions: { unsubscribe(): void }[];

  private constructor(link: BlobLink, name: string) {
    this.#link = link;
    this.#name = name;
    this.#subscriptions = [
      link.subscribe(link.subjects.pull(name), { pull: (message) => this.#onPull(message) }),
      link.subscribe(link.subjects.piece(name), { piece: (message) => this.#onPiece(message) }, {
        onCorrupt: (header, error) => this.#onCorrupt(header, error),
      }),
      link.onReconnect(() => this.#pulls.forEach(({ wait }) => wait.askSoon())),
    ];
  }

  /**
   * Opens one end.
   *
   * @param name Name of this process, unique in the run: letters, digits and `-`
   */
  static async open(link: BlobLink, name: string): Promise<BlobTransfers> {
    const transfers = new BlobTransfers(link, name);
    await link.flush();
    return transfers;
  }

  /** Lets others pull `bytes`, which must stay as they are until the offer is withdrawn. */
  offer(bytes: Uint8Array): Offer {
    const id = randomUUID();
    const chunkBytes = Math.min(PREFERRED_CHUNK_BYTES, this.#link.maxPayloadBytes);
    this.#offers.set(id, { bytes, chunkBytes });
    return {
      transfer: { id, owner: this.#name, bytes: bytes.length, chunkBytes },
      withdraw: () => void this.#offers.delete(id),
    };
  }

  /**
   * Pulls a blob that another process offers.
   *
   * @throws {LockstepError} When there is no memory for it, nothing comes for a minute, or the chunks are damaged again
   *   and again
   * @throws The signal's reason when it fires
   */
  async pull(transfer: Transfer, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    signal?.throwIfAborted();
    const memory = memoryFor(transfer);
    const wait = new RetriedWait<void>({
      timeoutMs: TIMEOUT_MS,
      askAgain: () => this.#askAgain(pulling),
      isExcused: () => this.#link.serverGone,
      silence: (seconds) =>
        new LockstepError(
          `Nothing of the ${transfer.bytes} bytes that ${transfer.owner} offers came for ${seconds} s`,
        ),
    });
    const count = memory.arrived.length;
    const pulling: Pulling = {
      transfer,
      ...memory,
      arrivedCount: 0,
      requested: 0,
      wait,
    };
    this.#pulls.set(transfer.id, pulling);
    try {
      if (count === 0) wait.finish();
      this.#requestMore(pulling);
      await wait.result(signal);
      return pulling.bytes;
    } finally {
      this.#pulls.delete(transfer.id);
    }
  }

  /** Ends all offers, and the pulls that are under way with an error. */
  close(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#offers.clear();
    for (const { wait } of this.#pulls.values()) {
      wait.fail(new LockstepError("A transfer was cut short: its process ends"));
    }
  }

  #requestMore(pulling: Pulling): void {
    const limit = Math.min(pulling.arrived.length, pulling.arrivedCount + PIECES_UNDER_WAY);
    while (pulling.requested < limit) this.#request(pulling, pulling.requested++);
  }

  #request({ transfer }: Pulling, chunk: number): void {
    const subject = this.#link.subjects.pull(transfer.owner);
    this.#link.publish(subject, "pull", { id: transfer.id, chunk, to: this.#name });
  }

  #askAgain(pulling: Pulling): void {
    for (let chunk = 0; chunk < pulling.requested; chunk++) {
      if (!pulling.arrived[chunk]) this.#request(pulling, chunk);
    }
  }

  #onPull({ header: { id, chunk, to } }: Incoming<"pull">): void {
    const offer = this.#offers.get(id);
    if (!offer) return; // withdrawn: who still asks has its own timeout
    const { bytes, chunkBytes } = offer;
    const piece = bytes.subarray(chunk * chunkBytes, (chunk + 1) * chunkBytes);
    const fields = { id, owner: this.#name, chunk };
    this.#link.publish(this.#link.subjects.piece(to), "piece", fields, piece);
  }

  #onPiece({ header: { id, chunk }, payload }: Incoming<"piece">): void {
    const pulling = this.#pulls.get(id);
    if (!pulling || chunk >= pulling.arrived.length || pulling.arrived[chunk]) return;
    const { bytes, chunkBytes } = pulling.transfer;
    if (payload.length !== Math.min(chunkBytes, bytes - chunk * chunkBytes)) return;
    pulling.bytes.set(payload, chunk * chunkBytes);
    pulling.arrived[chunk] = 1;
    pulling.arrivedCount++;
    pulling.wait.progress();
    if (pulling.arrivedCount === pulling.arrived.length) pulling.wait.finish();
    else this.#requestMore(pulling);
  }

  #onCorrupt({ id, chunk }: Header<"piece">, error: Error): void {
    const pulling = this.#pulls.get(id);
    if (!pulling) return;
    if (pulling.wait.damaged()) pulling.wait.fail(error);
    else this.#request(pulling, chunk);
  }
}

/** Memory for the bytes, and for the note which pieces are here. */
function memoryFor({ owner, bytes, chunkBytes }: Transfer): Pick<Pulling, "bytes" | "arrived"> {
  try {
    if (bytes > MAX_BYTES) throw new RangeError(`more than ${MAX_BYTES} bytes`);
    return { bytes: new Uint8Array(bytes), arrived: new Uint8Array(Math.ceil(bytes / chunkBytes)) };
  } catch (error) {
    throw new LockstepError(
      `This process has no memory for the ${bytes} bytes that ${owner} offers in pieces of ${chunkBytes}`,
      { cause: error },
    );
  }
}
