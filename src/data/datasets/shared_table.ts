/**
 * A table of images that the processes of one machine share: one of them has scanned the folder, the others read what
 * it found.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { LockstepError } from "../../base/errors.ts";
import { createSharedSegment, mapSharedSegment } from "../../base/shared_memory.ts";
import { z } from "../../deps/zod.ts";
import type { FileTable } from "./image_set.ts";
import { SampleTable } from "./sample_table.ts";

/** Form of a {@linkcode TablePlace} in a message to another process. */
export const tablePlaceSchema = z.strictObject({
  /** Path of the memory; only processes of the machine that it is in can open it. */
  path: z.string(),
  bytes: z.int().positive(),
  /** SHA-256 of the memory in hexadecimal: whatever else is found under the path is refused. */
  sha256: z.string(),
});

/** The place of a table in shared memory. */
export type TablePlace = z.output<typeof tablePlaceSchema>;

/** A table that other processes can open until it is disposed of. */
export interface SharedTable extends Disposable {
  readonly place: TablePlace;
}

/**
 * Shares a table.
 *
 * @throws {LockstepError} when there is too little memory
 */
export function shareTable({ memory }: Pick<FileTable, "memory">): SharedTable {
  const segment = createSharedSegment("lockstep-samples", memory.length);
  mapSharedSegment(segment.ownPath, memory.length).set(memory);
  return {
    place: { path: segment.path, bytes: memory.length, sha256: digestOf(memory) },
    [Symbol.dispose]: () => segment[Symbol.dispose](),
  };
}

/**
 * Opens the table that another process shares.
 *
 * @throws {LockstepError} when this process can't, or finds something else
 */
export function openTable({ path, bytes, sha256 }: TablePlace): SampleTable {
  const memory = mapSharedSegment(path, bytes);
  if (digestOf(memory) === sha256) return new SampleTable(memory);
  throw new LockstepError(`${path} is not the list of images of this run`);
}

function digestOf(memory: Uint8Array): string {
  return createHash("sha256").update(memory).digest("hex");
}
