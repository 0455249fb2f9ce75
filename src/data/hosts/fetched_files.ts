/**
 * The files of one fetched data set on the disk: which are there, and how one gets there.
 *
 * A file is written under `parts`, from where a broken transfer goes on, and gets its place below `files` when it is whole,
 * checked and flushed.
 *
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { dirname, join } from "node:path";
import { bulkCalls } from "../../base/bulk_calls.ts";
import { UsageError } from "../../base/errors.ts";
import { exists, writeFileAtomically } from "../../base/paths.ts";
import { openRegularFile, readRegularFile } from "../../base/regular_file.ts";
import { digestOf, forEachAtOnce } from "../datasets/file_digest.ts";
import type { FetchedTree } from "./fetched_cache.ts";
import { HASH_BYTES, hashOfRow, type Manifest, packManifest, unpackManifest } from "./manifest.ts";

const FILES = "files", PARTS = "parts", MANIFEST = "manifest.gz";

/** A file on its way. */
export interface PartialFile extends Disposable {
  /** Bytes that are here. */
  readonly bytes: number;
  write(bytes: Uint8Array): Promise<void>;
  /** Gives the file its place if its hash is this one; else it begins anew, and the result is false. */
  finish(sha256: string): Promise<boolean>;
}

/** The files of a manifest in a folder of the cache. */
export class FetchedFiles {
  readonly #manifest: Manifest;
  readonly #folder: string;
  readonly #made = new Set<string>();

  constructor(manifest: Manifest, folder: string) {
    this.#manifest = manifest;
    this.#folder = folder;
    requireSafePaths(manifest);
  }

  /** The folder that paths are relative to. */
  get root(): string {
    return join(this.#folder, FILES);
  }

  /** Removes the files of an older list that aren't those of the manifest, and puts the manifest on record. */
  async adopt(tree: FetchedTree): Promise<void> {
    await Deno.mkdir(this.root, { recursive: true });
    if (await tree.content() === this.#manifest.content) return;
    const path = join(this.#folder, MANIFEST);
    const old = await exists(path) ? await olderManifest(path) : undefined;
    if (old) await this.#removeOthers(old);
    else await removeAll(this.root); // whatever it was, it can't be told what is of use
    await removeAll(join(this.#folder, PARTS));
    await writeFileAtomically(path, await packManifest(this.#manifest));
    await tree.adopt();
  }

  /** The rows of the files that aren't there: missing, of another size or, where it is known, another hash. */
  async missingRows(signal?: AbortSignal): Promise<number[]> {
    const { table, hasHashes } = this.#manifest;
    const isHere = new Uint8Array(table.length), { root } = this;
    await bulkCalls(table.length, {
      sync: (row) => {
        try {
          isHere[row] = Number(
            Deno.statSync(`${root}/${table.path(row)}`).size === table.bytes(row),
          );
        } catch {
          // It is fetched.
        }
      },
      async: async (row) => {
        const info = await Deno.stat(`${root}/${table.path(row)}`).catch(() => undefined);
        isHere[row] = Number(info?.size === table.bytes(row));
      },
    }, { signal });
    if (hasHashes) {
      await forEachAtOnce(table, async ({ path }, row) => {
        signal?.throwIfAborted();
        const expected = isHere[row] ? hashOfRow(this.#manifest, row) : undefined;
        if (expected === undefined) return;
        const digest = await digestOf(join(root, path));
        isHere[row] = Number(digest?.subarray(0, HASH_BYTES).toHex() === expected);
      });
    }
    const missing: number[] = [];
    for (const [row, here] of isHere.entries()) {
      // What the coordinator can't read is missing here too: data.onError says what happens.
      if (!here && table.bytes(row) >= 0) missing.push(row);
    }
    return missing;
  }

  /** Bytes of a file that an earlier transfer has left. */
  async partBytes(row: number): Promise<number> {
    const info = await Deno.stat(this.#partPath(row)).catch(() => undefined);
    return info && info.size <= this.#manifest.table.bytes(row) ? info.size : 0;
  }

  /** Opens a file to go on with it after its first `from` bytes. */
  async open(row: number, from: number): Promise<PartialFile> {
    const part = this.#partPath(row), path = join(this.root, this.#manifest.table.path(row));
    await this.#makeFolder(dirname(part));
    const hash = createHash("sha256");
    const file = await openRegularFile(part, { read: true, write: true, create: true });
    await file.truncate(from);
    if (from > 0) await readInto(file, hash);
    return new OpenPart({
      ...{ file, hash, part, bytes: from, expected: hashOfRow(this.#manifest, row) },
      place: async () => {
        await this.#makeFolder(dirname(path));
        await Deno.rename(part, path).catch(async (error) => {
          if (!(await Deno.lstat(path)).isDirectory) throw error;
          await Deno.remove(path, { recursive: true }); // of an older list, where this was a folder
          await Deno.rename(part, path);
        });
      },
    });
  }

  /** Removes what transfers have left. */
  async removeParts(): Promise<void> {
    await removeAll(join(this.#folder, PARTS));
  }

  /** By its path, as other lists of the same files may have another order. */
  #partPath(row: number): string {
    const name = createHash("sha256").update(this.#manifest.table.path(row)).digest("hex");
    return join(this.#folder, PARTS, name.slice(0, 2 * HASH_BYTES));
  }

  async #makeFolder(folder: string): Promise<void> {
    if (this.#made.has(folder)) return;
    await Deno.mkdir(folder, { recursive: true });
    this.#made.add(folder);
  }

  async #removeOthers({ table: old, hashes: oldHashes }: Manifest): Promise<void> {
    const { table, hashes } = this.#manifest;
    for (let row = 0; row < old.length; row++) {
      const { side, path, bytes, modified } = old.at(row)!;
      const other = side === "train" ? "val" : "train";
      const now = Math.max(table.rowOf(side, path), table.rowOf(other, path));
      const hash = hashOfRow({ hashes: oldHashes }, row);
      const isSame = now >= 0 && table.bytes(now) === bytes &&
        table.at(now)!.modified === modified &&
        (hash === undefined || hashes.length === 0 || hashOfRow({ hashes }, now) === hash);
      if (!isSame) await Deno.remove(join(this.root, path)).catch(() => {}); // may never have come
    }
  }
}

/** A part that is being written. */
class OpenPart implements PartialFile {
  bytes: number;
  readonly #file: Deno.FsFile;
  readonly #hash: Hash;
  readonly #part: string;
  readonly #expected: string | undefined;
  readonly #place: () => Promise<void>;

  constructor({ file, hash, part, bytes, expected, place }: {
    file: Deno.FsFile;
    hash: Hash;
    part: string;
    bytes: number;
    expected: string | undefined;
    place: () => Promise<void>;
  }) {
    this.#file = file;
    this.#hash = hash;
    this.#part = part;
    this.bytes = bytes;
    this.#expected = expected;
    this.#place = place;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    for (let at = 0; at < bytes.length;) at += await this.#file.write(bytes.subarray(at));
    this.bytes += bytes.length;
  }

  async finish(sha256: string): Promise<boolean> {
    const own = this.#hash.digest("hex");
    if (own !== sha256 || (this.#expected !== undefined && !own.startsWith(this.#expected))) {
      await Deno.remove(this.#part);
      return false;
    }
    await this.#file.sync();
    await this.#place();
    return true;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** The manifest of the files that are there; nothing when it is damaged. */
async function olderManifest(path: string): Promise<Manifest | undefined> {
  return await unpackManifest(await readRegularFile(path)).catch(() => undefined);
}

async function readInto(file: Deno.FsFile, hash: Hash): Promise<void> {
  const chunk = new Uint8Array(2 ** 18);
  for (let count; (count = await file.read(chunk)) !== null;) hash.update(chunk.subarray(0, count));
}

async function removeAll(folder: string): Promise<void> {
  if (await exists(folder)) await Deno.remove(folder, { recursive: true });
  await Deno.mkdir(folder, { recursive: true });
}

/**
 * Makes sure that all files of a manifest lie below one folder, one beside the other.
 *
 * @throws {UsageError} naming the first one that doesn't
 */
export function requireSafePaths({ table }: Pick<Manifest, "table">): void {
  for (let row = 0; row < table.length; row++) {
    const path = table.path(row);
    const parts = path.split("/");
    const isSafe = !path.includes("\0") && parts.every((part) => !["", ".", ".."].includes(part));
    if (isSafe && (Deno.build.os !== "windows" || !/[\\:*?"<>|]/.test(path))) continue;
    throw new UsageError(
      `The coordinator's file ${
        JSON.stringify(path)
      } can't be fetched: no file of a data set has such a name here`,
    );
  }
}
