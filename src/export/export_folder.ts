/**
 * The folder that an export is written to, which may hold earlier exports, but nothing that it would harm.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { z } from "../deps/zod.ts";
import { messageOf, reasonOf, UsageError } from "../base/errors.ts";
import { exists, writeFileAtomically } from "../base/paths.ts";
import { readRegularText } from "../base/regular_file.ts";
import { describeSystemError } from "../base/system_errors.ts";
import { LOCKSTEP_VERSION } from "../base/versions.ts";

/** Lists the files of all exports in the folder. */
export const LIST_FILE = "export.json";

/** Key of the list: files of earlier exports that are to be removed when the present one is written. */
const STALE = "stale";

/** A file to be written, or one that is made only when its turn comes. */
export interface ExportFile {
  /** Relative to the folder, with slashes. */
  readonly path: string;
  readonly content: () => string | Uint8Array | Promise<string | Uint8Array>;
}

const listSchema = z.strictObject({
  exportVersion: z.literal(1),
  lockstep: z.string(),
  /** Paths of the files of each format, relative to the folder. */
  formats: z.record(z.string(), z.array(z.string().regex(/^[\w.-]+(\/[\w.-]+)*$/))),
});

type Formats = z.output<typeof listSchema>["formats"];

/**
 * Writes the files of some formats, each atomically and in their order, and removes those of an earlier export that
 * these formats no longer have. Files that are no export's stay, whatever they are called.
 *
 * @param formats Files by format
 * @param signal Ends it between two files
 * @returns Bytes written, by path
 * @throws {UsageError} when a file is in the way, or the folder can't be written; nothing is changed then
 */
export async function writeExport(
  folder: string,
  formats: ReadonlyMap<string, readonly ExportFile[]>,
  signal?: AbortSignal,
): Promise<Map<string, number>> {
  const earlier = await readList(folder);
  const owned = new Set(Object.values(earlier).flat());
  const files = [...formats.values()].flat();
  for (const { path } of files) {
    if (owned.has(path) || !await exists(join(folder, path))) continue;
    throw new UsageError(
      `${
        join(folder, path)
      } is in the way, and no earlier export's: move it, or name another folder with --out`,
    );
  }
  const { [STALE]: _, ...kept } = earlier;
  const later: Formats = {
    ...kept,
    ...Object.fromEntries([...formats].map(([name, own]) => [name, own.map(({ path }) => path)])),
  };
  const stale = [...owned.difference(new Set(Object.values(later).flat()))];
  const sizes = new Map<string, number>();
  try {
    // Until all is written, both lists: what a crash leaves behind is known to be ours.
    await writeList(folder, { ...later, [STALE]: stale });
    for (const { path, content } of files) {
      signal?.throwIfAborted();
      const bytes = encoded(await content());
      await writeFileAtomically(join(folder, path), bytes);
      sizes.set(path, bytes.length);
    }
    for (const path of stale) await removeFile(folder, path);
    await writeList(folder, later);
  } catch (error) {
    if (!describeSystemError(error)) throw error;
    throw new UsageError(
      `Export folder ${folder} can't be written: ${reasonOf(error)}; name another with --out`,
      { cause: error },
    );
  }
  return sizes;
}

function encoded(content: string | Uint8Array): Uint8Array {
  return typeof content === "string" ? new TextEncoder().encode(content) : content;
}

async function readList(folder: string): Promise<Formats> {
  const path = join(folder, LIST_FILE);
  if (!await exists(path)) return {};
  try {
    return listSchema.parse(JSON.parse(await readRegularText(path))).formats;
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : messageOf(error);
    throw new UsageError(
      `${path} doesn't list an export of Lockstep: ${reason}: name another folder with --out`,
    );
  }
}

async function writeList(folder: string, formats: Formats): Promise<void> {
  const list: z.output<typeof listSchema> = {
    exportVersion: 1,
    lockstep: LOCKSTEP_VERSION,
    formats,
  };
  await writeFileAtomically(join(folder, LIST_FILE), JSON.stringify(list, null, 2) + "\n");
}

/** Removes a file, and its folder when nothing else is in it. */
async function removeFile(folder: string, path: string): Promise<void> {
  const gone = (error: unknown) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  };
  await Deno.remove(join(folder, path)).catch(gone);
  const own = dirname(path);
  if (own === ".") return;
  const left = await Array.fromAsync(Deno.readDir(join(folder, own))).catch(() => [undefined]);
  if (left.length === 0) await Deno.remove(join(folder, own));
}
