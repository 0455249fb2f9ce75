/**
 * How a vector is cut into messages.
 *
 * @module
 */

/** A vector cut into chunks of equal size (the last one may be shorter). */
export interface ChunkPlan {
  readonly bytes: number;
  readonly chunkBytes: number;
  readonly count: number;
  /** Chunks that a rank may be ahead of the reduced ones: bounds what waits in the server and in memory. */
  readonly window: number;
}

const FLOAT_BYTES = 4;
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
 * @param maxPayloadBytes What the server lets through in one message
 * @throws {RangeError} When the length is not a multiple of 4, or nothing fits
 */
export function planChunks(bytes: number, worldSize: number, maxPayloadBytes: number): ChunkPlan {
  if (bytes % FLOAT_BYTES !== 0 || bytes < 0) {
    throw new RangeError(`A vector of ${bytes} bytes doesn't hold float32 values`);
  }
  const limit = Math.min(PREFERRED_CHUNK_BYTES, maxPayloadBytes);
  const chunkBytes = Math.floor(limit / FLOAT_BYTES) * FLOAT_BYTES;
  if (chunkBytes <= 0) {
    throw new RangeError(`Messages with ${maxPayloadBytes} bytes of payload are too small`);
  }
  const inFlight = Math.min(IN_FLIGHT_BYTES_PER_RANK, IN_FLIGHT_BYTES / worldSize);
  return {
    bytes,
    chunkBytes,
    count: Math.ceil(bytes / chunkBytes),
    window: Math.max(2, Math.floor(inFlight / chunkBytes)),
  };
}

/** Length of one chunk in bytes. */
export function chunkLength(plan: ChunkPlan, chunk: number): number {
  return Math.min(plan.chunkBytes, plan.bytes - chunk * plan.chunkBytes);
}
