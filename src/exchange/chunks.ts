/**
 * The plan by which a vector is cut into messages.
 *
 * @module
 */
import type { GradientDtype } from "../protocol/messages.ts";

/**
 * The format in which the gradients, at the beginning of a vector, travel over NATS; all other values are
 * always float32.
 */
export interface WireFormat {
  readonly dtype: GradientDtype;
  /** Bytes of the vector that hold gradients. */
  readonly gradientBytes: number;
}

/** One message's part of a vector. */
export interface Chunk {
  /** The first of its values in the vector. */
  readonly begin: number;
  /** Values. */
  readonly floats: number;
  readonly dtype: GradientDtype;
  /** The size of the values in the message. */
  readonly bytes: number;
}

/**
 * A vector cut into chunks of one dtype each, of equal size but for the last ones. They travel from the end of the
 * vector to its beginning, as the backward pass makes the gradients.
 */
export interface ChunkPlan {
  /** Length of the vector. */
  readonly bytes: number;
  readonly dtype: GradientDtype;
  /** Bytes of the vector, from its beginning, that travel in fewer. */
  readonly narrowBytes: number;
  /** The most bytes that a chunk takes in its message. */
  readonly chunkBytes: number;
  /** The most bytes that a chunk's values take as float32. */
  readonly floatBytes: number;
  /** In the order in which they travel. */
  readonly chunks: readonly Chunk[];
  /** Chunks that a rank may be ahead of the reduced ones: bounds what waits in the server and in memory. */
  readonly window: number;
}

/** Chunks that one message asks for again; what else is missing is asked for later. */
export const MAX_REQUESTED = 256;

const FLOAT_BYTES = 4;
const VALUE_BYTES: Readonly<Record<GradientDtype, number>> = {
  float32: FLOAT_BYTES,
  float16: 2,
  bfloat16: 2,
};
// For 44.7 MB with two workers on two cores 0.5, 1 and 2 MiB took about the same time, 4 MiB longer.
const PREFERRED_CHUNK_BYTES = 1024 * 1024;
// A server drops a client for which more than max_pending waits: 64 MiB unless configured.
const IN_FLIGHT_BYTES = 32 * 1024 * 1024;
const IN_FLIGHT_BYTES_PER_RANK = 16 * 1024 * 1024;

/**
 * Plans the chunks of a vector.
 *
 * @param bytes Length of the vector, a multiple of 4
 * @param worldSize Number of ranks that send at the same time
 * @param maxPayloadBytes The most bytes that the server accepts in one message
 * @param wire The format of its gradients; float32 unless given
 * @throws {RangeError} When a length is not a multiple of 4, or nothing fits
 */
export function planChunks(
  bytes: number,
  worldSize: number,
  maxPayloadBytes: number,
  wire: WireFormat = { dtype: "float32", gradientBytes: 0 },
): ChunkPlan {
  if (bytes % FLOAT_BYTES !== 0 || bytes < 0) {
    throw new RangeError(`A vector of ${bytes} bytes doesn't hold float32 values`);
  }
  const { dtype } = wire;
  const narrowBytes = dtype === "float32" ? 0 : wire.gradientBytes;
  if (narrowBytes % FLOAT_BYTES !== 0 || narrowBytes < 0 || narrowBytes > bytes) {
    throw new RangeError(`${narrowBytes} bytes of gradients in a vector of ${bytes} bytes`);
  }
  const limit = Math.min(PREFERRED_CHUNK_BYTES, maxPayloadBytes);
  const chunkBytes = Math.floor(limit / FLOAT_BYTES) * FLOAT_BYTES;
  if (chunkBytes <= 0) {
    throw new RangeError(`Messages with ${maxPayloadBytes} bytes of payload are too small`);
  }
  const inFlight = Math.min(IN_FLIGHT_BYTES_PER_RANK, IN_FLIGHT_BYTES / worldSize);
  const narrowFloats = narrowBytes / FLOAT_BYTES;
  return {
    bytes,
    dtype,
    narrowBytes,
    chunkBytes,
    floatBytes: chunkBytes * (narrowBytes > 0 ? FLOAT_BYTES / VALUE_BYTES[dtype] : 1),
    chunks: [
      ...cut(0, narrowFloats, dtype, chunkBytes),
      ...cut(narrowFloats, bytes / FLOAT_BYTES, "float32", chunkBytes),
    ].reverse(),
    window: Math.max(2, Math.floor(inFlight / chunkBytes)),
  };
}

function cut(first: number, end: number, dtype: GradientDtype, chunkBytes: number): Chunk[] {
  const most = chunkBytes / VALUE_BYTES[dtype];
  const chunks: Chunk[] = [];
  for (let begin = first; begin < end; begin += most) {
    const floats = Math.min(most, end - begin);
    chunks.push({ begin, floats, dtype, bytes: floats * VALUE_BYTES[dtype] });
  }
  return chunks;
}
