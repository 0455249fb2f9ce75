/**
 * A rank's scores on their way to the coordinator: numbers as bytes, since a large validation set would be too long
 * for a message.
 *
 * @module
 */
import type { ShardScores } from "./validate.ts";

/** The values that the bytes hold. */
export interface PackedScores
  extends Pick<ShardScores, "indices" | "labels" | "losses" | "ranked" | "probabilities"> {
  /** Of each metric of the user's own that gives values: [n]. */
  readonly values: readonly (readonly number[])[];
}

/** The sizes that the reader needs beside the bytes. */
export interface ScoreShape {
  /** Samples. */
  readonly count: number;
  /** Classes per sample. */
  readonly width: number;
  /** Metrics that give a value for each sample. */
  readonly valued: number;
}

const WORD = 4;

/**
 * Little-endian: indices uint32 [n], labels int32 [n], losses float32 [n], ranked int32 [n, width], probabilities
 * float32 [n, width], values float32 [valued, n].
 */
export function packScores(
  { indices, labels, losses, ranked, probabilities, values }: PackedScores,
): Uint8Array {
  const parts = [
    Uint32Array.from(indices),
    Int32Array.from(labels),
    Float32Array.from(losses),
    Int32Array.from(ranked),
    Float32Array.from(probabilities),
    Float32Array.from(values.flat()),
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
export function unpackScores(
  bytes: Uint8Array,
  { count, width, valued }: ScoreShape,
): PackedScores {
  if (bytes.byteLength !== WORD * count * (3 + 2 * width + valued)) {
    throw new RangeError(
      `${bytes.byteLength} bytes are not the scores of ${count} samples with ${width} classes and ${valued} values each`,
    );
  }
  const { buffer } = bytes.slice();
  let offset = 0;
  const next = <T>(
    Numbers: new (buffer: ArrayBuffer, offset: number, length: number) => Iterable<T>,
    length: number,
  ): T[] => [...new Numbers(buffer, (offset += WORD * length) - WORD * length, length)];
  return {
    indices: next(Uint32Array, count),
    labels: next(Int32Array, count),
    losses: next(Float32Array, count),
    ranked: next(Int32Array, count * width),
    probabilities: next(Float32Array, count * width),
    values: Array.from({ length: valued }, () => next(Float32Array, count)),
  };
}
