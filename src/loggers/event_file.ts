/**
 * TensorBoard's event files: protocol buffers in TensorFlow's record format.
 *
 * A record is its length (uint64, little-endian), the length's masked CRC-32C, the data, and the data's masked
 * CRC-32C. The messages are `Event`, `Summary` and `TensorProto` of TensorFlow's `event.proto`, `summary.proto`
 * and `tensor.proto`, of which a few fields are written here.
 *
 * @module
 */
import { hostname } from "node:os";
import { join } from "node:path";
import { crc32c } from "../deps/crc32c.ts";
import { BinaryWriter, WireType } from "../deps/protobuf_wire.ts";

/** The constant that the format adds to a rotated CRC, so that data with CRCs inside still get good CRCs. */
const MASK_DELTA = 0xa282ead8;
/** `DT_STRING` of TensorFlow's types. */
const DT_STRING = 7;
/** `START` of `SessionLog.SessionStatus`. */
const SESSION_START = 1;
/** `COLORSPACE` of an image with red, green and blue. */
const RGB = 3;

/** The CRC of a record's part, as the format stores it. */
export function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}

/** Puts the frame of a record around data. */
export function frameRecord(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(8 + 4 + data.length + 4);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return record;
}

/** One value of a summary. */
export type SummaryValue =
  & { readonly tag: string }
  & (
    | { readonly scalar: number }
    | {
      readonly image: { readonly width: number; readonly height: number; readonly png: Uint8Array };
    }
    | { readonly text: string }
  );

/** A file of events that grows: each event is one write, so that a crash leaves whole records before it. */
export class EventFile implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #now: () => number;
  #open = true;

  /**
   * Begins a new file, named so that TensorBoard reads it after those of earlier processes.
   *
   * @param folder Made when missing
   * @param now A clock in milliseconds since 1970
   */
  constructor(folder: string, now: () => number = Date.now) {
    Deno.mkdirSync(folder, { recursive: true });
    this.#now = now;
    this.#file = createNew(folder, Math.floor(now() / 1000));
    this.#append((event) =>
      event.uint32(field(3, WireType.LengthDelimited)).string("brain.Event:2")
    );
  }

  /** Values of a step: numbers, pictures, texts. */
  summary(step: number, values: readonly SummaryValue[]): void {
    this.#append((event) => {
      event.uint32(field(2, WireType.Varint)).int64(step);
      event.uint32(field(5, WireType.LengthDelimited)).fork();
      for (const value of values) {
        event.uint32(field(1, WireType.LengthDelimited)).fork();
        writeValue(event, value);
        event.join();
      }
      event.join();
    });
  }

  /** The run goes on after `step` steps: what earlier files have of later ones no longer counts. */
  restart(step: number): void {
    this.#append((event) => {
      event.uint32(field(2, WireType.Varint)).int64(step + 1);
      event.uint32(field(7, WireType.LengthDelimited)).fork();
      event.uint32(field(1, WireType.Varint)).int32(SESSION_START);
      event.join();
    });
  }

  /** Closes the file; may be called more than once. */
  close(): void {
    if (this.#open) this.#file.close();
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #append(write: (event: BinaryWriter) => void): void {
    if (!this.#open) return;
    const event = new BinaryWriter();
    event.uint32(field(1, WireType.Bit64)).double(this.#now() / 1000);
    write(event);
    const record = frameRecord(event.finish());
    for (let offset = 0; offset < record.length;) {
      offset += this.#file.writeSync(record.subarray(offset));
    }
  }
}

/** The tag that stands before a field of a message. */
function field(number: number, type: WireType): number {
  return (number << 3) | type;
}

function writeValue(writer: BinaryWriter, value: SummaryValue): void {
  writer.uint32(field(1, WireType.LengthDelimited)).string(value.tag);
  if ("scalar" in value) {
    writer.uint32(field(2, WireType.Bit32)).float(value.scalar);
  } else if ("image" in value) {
    const { width, height, png } = value.image;
    writer.uint32(field(4, WireType.LengthDelimited)).fork();
    writer.uint32(field(1, WireType.Varint)).int32(height);
    writer.uint32(field(2, WireType.Varint)).int32(width);
    writer.uint32(field(3, WireType.Varint)).int32(RGB);
    writer.uint32(field(4, WireType.LengthDelimited)).bytes(png);
    writer.join();
  } else {
    writeText(writer, value.text);
  }
}

/** A tensor of one string, for the plugin that shows text (as Markdown). */
function writeText(writer: BinaryWriter, text: string): void {
  writer.uint32(field(9, WireType.LengthDelimited)).fork(); // metadata
  writer.uint32(field(1, WireType.LengthDelimited)).fork(); // plugin_data
  writer.uint32(field(1, WireType.LengthDelimited)).string("text");
  writer.join();
  writer.join();
  writer.uint32(field(8, WireType.LengthDelimited)).fork(); // tensor
  writer.uint32(field(1, WireType.Varint)).int32(DT_STRING);
  writer.uint32(field(2, WireType.LengthDelimited)).fork().join(); // a shape of no dimensions
  writer.uint32(field(8, WireType.LengthDelimited)).string(text);
  writer.join();
}

/** Files are read in the order of their names: seconds first, then a number within them. */
function createNew(folder: string, seconds: number): Deno.FsFile {
  for (let number = 0;; number++) {
    const name = `events.out.tfevents.${
      String(seconds).padStart(10, "0")
    }.${hostname()}.${Deno.pid}.${number}`;
    try {
      return Deno.openSync(join(folder, name), { write: true, createNew: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }
}
