/**
 * A graph model's weights in files of equal size.
 *
 * @module
 */
import { type GraphModel, weightBytes } from "./graph_model.ts";

/** The size that tfjs's own converter takes: browsers cache files of this size. */
export const SHARD_BYTES = 4 * 2 ** 20;

/** Returns the number of files that the weights take. */
export function shardCount(model: GraphModel): number {
  return Math.max(1, Math.ceil(weightBytes(model) / SHARD_BYTES));
}

/** The bytes of one file. */
export function shardAt({ weights }: GraphModel, index: number): Uint8Array<ArrayBuffer> {
  const begin = index * SHARD_BYTES;
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let position = 0;
  for (const bytes of weights) {
    const from = Math.max(begin - position, 0);
    const to = Math.min(begin + SHARD_BYTES - position, bytes.length);
    if (from < to) parts.push(bytes.subarray(from, to));
    position += bytes.length;
  }
  const shard = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const part of parts) {
    shard.set(part, end);
    end += part.length;
  }
  return shard;
}
