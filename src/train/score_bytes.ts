/**
 * A rank's scores on their way to the coordinator: numbers as bytes, since a large validation set would be too long
 * for a message.
 *
 * @module
 */
import type { ShardScores } from "./validate.ts";

/** What stands in the bytes. */
export type PackedScores = Pick<ShardScores, "indices" | "losses" | "ranked" | "probabilities">;

/** What the reader has to know beside the bytes. */
export interface ScoreShape {
  /** Samples. */
  readonly count: number;
  /** Classes per sample. */
  readonly width: number;
}

const WORD = 4;

/** Little-endian: indices uint32 [n], losses float32 [n], ranked int32 [n, width], probabilities float32 [n, width]. */
export function packScores({ indices, losses, ranked, probabilities }: PackedScores): Uint8Array {
  const parts = [
    Uint32Array.from(indices),
    Float32Array.from(losses),
    Int32Array.from(ranked),
    Float32Array.from(probabilities),
  ];
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(new Uint8Array(part.buffer), offset);
    offset += part.byteLength;
  }
  return bytes;
}

/**
 * Reads what {@linkcode packScores} wrote.
 *
 * @throws {RangeError} when there are more or fewer bytes than the shape says
 */
export function unpackScores(bytes: Uint8Array, { count, width }: ScoreShape): PackedScores {
  if (bytes.byteLength !== WORD * count * (2 + 2 * width)) {
    throw new RangeError(
      `${bytes.byteLength} bytes are not the scores of ${count} samples with ${width} classes each`,
    );
  }
  const { buffer } = bytes.slice();
  return {
    indices: [...new Uint32Array(buffer, 0, count)],
    losses: [...new Float32Array(buffer, WORD * count, count)],
    ranked: [...new Int32Array(buffer, 2 * WORD * count, count * width)],
    probabilities: [...new Float32Array(buffer, WORD * count * (2 + width), count * width)],
  };
}
