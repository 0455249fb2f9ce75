/**
 * Writes the files of `data check`.
 *
 * @module
 */
import { join } from "node:path";
import { writeFileAtomically } from "../base/paths.ts";
import type { ShownPair } from "./check_data.ts";
import { DATA_CHECK_IMAGE, dataCheckPicture } from "./data_check_painter.ts";
import { type DataCheckRecord, writeDataCheck } from "./record.ts";

/**
 * Writes `report.json` and the image, each replaced as a whole. A signal ends this before the first of them is written,
 * or comes too late.
 *
 * @throws {LockstepError} when the image can't be painted; the report is there nevertheless
 */
export async function writeDataCheckFiles(
  folder: string,
  record: DataCheckRecord,
  pairs: readonly ShownPair[],
  signal?: AbortSignal,
): Promise<void> {
  let picture: Uint8Array;
  try {
    picture = await dataCheckPicture(record, pairs, signal); // what takes long
  } catch (error) {
    if (!signal?.aborted) await writeDataCheck(folder, record);
    throw error;
  }
  await writeDataCheck(folder, record);
  await writeFileAtomically(join(folder, DATA_CHECK_IMAGE), picture);
}
