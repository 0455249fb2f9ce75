/**
 * The comparison of a host's files with those that the coordinator found, before its workers start.
 *
 * @module
 */
import { join } from "node:path";
import { quotedPath } from "../../base/called_paths.ts";
import { messageOf, UsageError } from "../../base/errors.ts";
import { shellWord } from "../../base/shell.ts";
import { digestOf, forEachAtOnce } from "../datasets/file_digest.ts";
import { addImages, subfolders } from "../datasets/image_files.ts";
import { type SampleTable, SampleTableBuilder } from "../datasets/sample_table.ts";
import {
  addDiffering,
  comparePathsAndSizes,
  describeDifferences,
  describeTotals,
  type FileDifferences,
} from "./compare_files.ts";
import { HASH_BYTES, hashOfRow, type Manifest } from "./manifest.ts";
import { isSameFolder } from "./same_folder.ts";

/** Result of a comparison that found no difference. */
export interface CheckedFiles {
  /** The folder is the coordinator's, which both hosts share: nothing was compared but for some files' numbers. */
  readonly isShared: boolean;
}

/**
 * Compares a folder with a manifest: paths and sizes, and hashes where the manifest has them.
 *
 * @param root The folder on this host
 * @param hostName This host at the beginning of a sentence, such as `Host 1 (b)`
 * @throws {UsageError} naming the host, the first differing files, the counts on both sides and the cure
 */
export async function checkManifest(
  manifest: Manifest,
  root: string,
  hostName: string,
  signal?: AbortSignal,
): Promise<CheckedFiles> {
  if (manifest.kind === "module") return { isShared: false };
  await requireFolder(manifest, root, hostName);
  if (await isSameFolder(root, manifest.witnesses)) return { isShared: true };
  const found = await findFiles(manifest, root, hostName);
  const { differences, isSame } = comparePathsAndSizes(manifest.table, found);
  if (manifest.hasHashes) await compareHashes(manifest, root, { differences, isSame, signal });
  const described = describeDifferences(differences);
  if (described === undefined) return { isShared: false };
  throw new UsageError(
    `${hostName} has other files in ${
      quotedPath(root)
    } than the coordinator (${manifest.hostname}) in ${
      JSON.stringify(manifest.root)
    }: ${described}. It has ${describeTotals(totalsOf(found))}, the coordinator ${
      describeTotals({ count: manifest.table.length, bytes: manifest.totalBytes })
    }: ${cureOf(manifest, root, differences)}`,
  );
}

async function requireFolder(manifest: Manifest, root: string, hostName: string): Promise<void> {
  const info = await Deno.stat(root).catch(() => undefined); // reading it says what else is wrong
  if (info) return;
  throw new UsageError(
    `${hostName} has no folder ${quotedPath(root)} with the ${
      describeTotals({ count: manifest.table.length, bytes: manifest.totalBytes })
    } of the coordinator (${manifest.hostname}): copy them with ${
      rsync(manifest, root)
    }, name another folder with --data, or set data.hosts to fetch`,
  );
}

/** The files of this host as a table, all of them on the side `train`. */
async function findFiles(manifest: Manifest, root: string, hostName: string): Promise<SampleTable> {
  const builder = new SampleTableBuilder();
  try {
    if (manifest.kind === "images") await addAllImages(builder, root, manifest.sides);
    else await addListed(builder, root, manifest.table);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${hostName}: ${messageOf(error)}`, { cause: error });
  }
  return builder.finish({ classes: [""], train: builder.length });
}

async function addAllImages(
  builder: SampleTableBuilder,
  root: string,
  sides: readonly string[],
): Promise<void> {
  const names = await subfolders(root, "");
  for (const side of sides) {
    if (side !== "" && !names.includes(side)) continue; // all of its files are missing
    for (const name of side === "" ? names : await subfolders(root, side)) {
      await addImages(builder, root, side === "" ? name : `${side}/${name}`, 0);
    }
  }
}

async function addListed(
  builder: SampleTableBuilder,
  root: string,
  table: SampleTable,
): Promise<void> {
  for (const { path } of table) {
    const info = await Deno.stat(join(root, path)).catch(() => undefined);
    if (!info?.isFile) continue;
    const at = path.lastIndexOf("/");
    const folder = at < 0 ? "" : path.slice(0, at);
    builder.setFile(builder.add(folder, path.slice(at + 1), 0), info.size, 0);
  }
}

async function compareHashes(
  manifest: Manifest,
  root: string,
  { differences, isSame, signal }: {
    differences: FileDifferences;
    isSame: Uint8Array;
    signal: AbortSignal | undefined;
  },
): Promise<void> {
  const others: { row: number; path: string }[] = [];
  await forEachAtOnce(manifest.table, async ({ path }, row) => {
    signal?.throwIfAborted();
    const expected = isSame[row] ? hashOfRow(manifest, row) : undefined;
    if (expected === undefined) return;
    const digest = await digestOf(join(root, path));
    if (digest?.subarray(0, HASH_BYTES).toHex() !== expected) others.push({ row, path });
  });
  others.sort((a, b) => a.row - b.row);
  for (const { path } of others) addDiffering(differences.otherContent, path);
}

function totalsOf(table: SampleTable): { count: number; bytes: number } {
  let bytes = 0;
  for (let row = 0; row < table.length; row++) bytes += Math.max(table.bytes(row), 0);
  return { count: table.length, bytes };
}

function cureOf(manifest: Manifest, root: string, { otherForm }: FileDifferences): string {
  const names = otherForm > 0 ? " (from macOS with --iconv=utf-8-mac,utf-8)" : "";
  return `copy them again with ${
    rsync(manifest, root)
  }${names}, name another folder with --data, such as one that the hosts share, or set data.hosts to fetch`;
}

function rsync({ hostname, root }: Manifest, to: string): string {
  return `rsync -a --checksum --delete ${shellWord(`${hostname}:${root}/`)} ${shellWord(`${to}/`)}`;
}
