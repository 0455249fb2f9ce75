/**
 * The parts of vectors that a rank sends to one rank of a neighbouring host, one way: in order, with a window, and again
 * when they are lost.
 *
 * @module
 */
import { FRAME_HEADER_BYTES } from "../../protocol/codec.ts";
import type { Link } from "../../protocol/link.ts";
import type { Fields } from "../../protocol/messages.ts";
import type { RetriedWait } from "../../protocol/retried_wait.ts";
import { floatsOf } from "../../base/float_range.ts";
import { narrow, type NarrowDtype } from "../narrow.ts";
import type { Segment } from "./host_layout.ts";
import type { PartMemory } from "./part_memory.ts";
import type { WaitForPeer } from "./peer_waits.ts";

/** Bytes of a value in its format. */
export const VALUE_BYTES = { float32: 4, float16: 2, bfloat16: 2 } as const;

/** The way of the parts. */
export interface OutgoingOptions {
  /** The parts' connection to the receiver's server. */
  readonly data: Link;
  readonly dataSubject: string;
  readonly sender: Pick<Fields<"hostPart">, "way" | "host" | "rank">;
  /** Bytes that may be under way, or wait at the receiver. */
  readonly windowBytes: number;
  readonly memory: PartMemory;
  /** Waits for the receiver. */
  readonly wait: WaitForPeer;
}

/** A part that the receiver has not used yet, as far as is known. */
interface Unused {
  readonly fields: Fields<"hostPart">;
  /** The message with room for its header; nothing for an empty part. */
  readonly frame: Uint8Array<ArrayBuffer> | undefined;
  /** Its memory may still be on its way to the server for the second time. */
  isRepeated: boolean;
}

/** The sender's end. */
export class OutgoingParts {
  readonly #options: OutgoingOptions;
  #unused: Unused[] = [];
  #bytes = 0;
  #sent = 0;
  #room: RetriedWait<void> | undefined;

  constructor(options: OutgoingOptions) {
    this.#options = options;
  }

  /**
   * Sends a segment in as many messages as it needs, as soon as the window allows it.
   *
   * @param values Of the segment; nothing where no rank has a share in it. They may change when the promise is resolved
   */
  async send(
    { begin, end, dtype }: Segment,
    values: Float32Array | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (!values) return await this.#sendPart({ begin, floats: end - begin, dtype }, values, signal);
    const most = Math.floor(this.#options.data.maxPayloadBytes / VALUE_BYTES[dtype]);
    for (let at = begin; at < end; at += most) {
      const floats = Math.min(most, end - at);
      const part = values.subarray(at - begin, at - begin + floats);
      await this.#sendPart({ begin: at, floats, dtype }, part, signal);
    }
  }

  /** The receiver says how far it is. */
  onAck({ taken, missing, asks }: Fields<"hostAck">): void {
    const first = this.#unused[0]?.fields.part ?? this.#sent;
    if (taken > this.#sent) return; // it can't have used what was never sent
    for (const { frame, isRepeated } of this.#unused.splice(0, Math.max(0, taken - first))) {
      if (!frame) continue;
      this.#bytes -= frame.byteLength;
      if (!isRepeated) this.#options.memory.give(frame);
    }
    const now = this.#unused[0]?.fields.part ?? this.#sent;
    for (const part of missing) {
      const unused = this.#unused[part - now];
      if (unused) this.#repeat(unused);
    }
    // Where nothing was lost, it says that this rank is alive.
    if (asks) this.#probe();
    this.#room?.progress();
    if (taken > first) this.#room?.finish();
  }

  async #sendPart(
    shape: Pick<Fields<"hostPart">, "begin" | "floats" | "dtype">,
    values: Float32Array | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { sender, memory, windowBytes, data, dataSubject } = this.#options;
    const bytes = values ? FRAME_HEADER_BYTES + values.length * VALUE_BYTES[shape.dtype] : 0;
    while (this.#bytes > 0 && this.#bytes + bytes > windowBytes) await this.#untilRoom(signal);
    const fields = { ...sender, ...shape, part: this.#sent++, isEmpty: !values };
    const frame = values && memory.take(bytes);
    if (frame) write(frame.subarray(FRAME_HEADER_BYTES), values, shape.dtype);
    this.#bytes += bytes;
    this.#unused.push({ fields, frame, isRepeated: false });
    if (frame) data.publishInPlace(dataSubject, "hostPart", fields, frame);
    else data.publish(dataSubject, "hostPart", fields);
  }

  async #untilRoom(signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#options.wait(() => this.#probe(), signal, (wait) => this.#room = wait);
    } finally {
      this.#room = undefined;
    }
  }

  #repeat(unused: Unused): void {
    const { data, dataSubject } = this.#options;
    unused.isRepeated = true;
    // In new memory: the first message may still wait for the server with its own header.
    data.publish(
      dataSubject,
      "hostPart",
      unused.fields,
      unused.frame?.subarray(FRAME_HEADER_BYTES),
    );
  }

  #probe(): void {
    const { data, dataSubject, sender } = this.#options;
    data.publish(dataSubject, "hostProbe", { ...sender, sent: this.#sent });
  }
}

function write(target: Uint8Array, values: Float32Array, dtype: Segment["dtype"]): void {
  if (dtype !== "float32") narrow(target, values, dtype satisfies NarrowDtype);
  else floatsOf(target).set(values);
}
