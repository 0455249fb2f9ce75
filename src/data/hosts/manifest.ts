/**
 * The files of a data set as the coordinator found them, in a form that travels to other hosts: about 13 bytes per
 * file.
 *
 * The bytes are, compressed by gzip: the length of the head (8 bytes, little-endian); the head, JSON, up to a multiple of
 * 8 bytes; a {@linkcode SampleTable}'s memory; 16 bytes of each file's SHA-256, where it has them.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { calledPath } from "../../base/called_paths.ts";
import { LockstepError, UsageError } from "../../base/errors.ts";
import { z } from "../../deps/zod.ts";
import type { DataConfig } from "../config.ts";
import { CIFAR10_FILES } from "../datasets/cifar10.ts";
import { digestOf, forEachAtOnce } from "../datasets/file_digest.ts";
import type { ImageSet } from "../datasets/image_set.ts";
import { SampleTable, SampleTableBuilder } from "../datasets/sample_table.ts";
import { witnessesOf, witnessesSchema } from "./same_folder.ts";

/** Bytes of a file's SHA-256 that are kept. */
export const HASH_BYTES = 16;
/** Level of the compression: higher ones take three times as long for a tenth less. */
const LEVEL = 1;

const headSchema = z.strictObject({
  version: z.literal(1),
  /** `images`: the table lists the samples; `files`: it lists files that hold them; `module`: there are no files. */
  kind: z.enum(["images", "files", "module"]),
  /** The folder on the coordinator, as it is shown. */
  root: z.string(),
  /** Name of the coordinator's machine. */
  hostname: z.string(),
  /** Identifies the folder among those of all machines. */
  origin: z.string(),
  /** Identifies this list of files: their paths, sizes, times and hashes. */
  content: z.string(),
  /** Folders whose subfolders are the classes, relative to the root. */
  sides: z.array(z.string()),
  totalBytes: z.number().nonnegative(),
  hasHashes: z.boolean(),
  witnesses: witnessesSchema,
  tableBytes: z.int().nonnegative(),
});

/** The facts of a manifest apart from its files. */
export type ManifestHead = Readonly<z.output<typeof headSchema>>;

/** A data set's files. */
export interface Manifest extends ManifestHead {
  /** The files; none of a data module. */
  readonly table: SampleTable;
  /** {@linkcode HASH_BYTES} of each file's SHA-256, zeros where it couldn't be read; empty without hashes. */
  readonly hashes: Uint8Array<ArrayBuffer>;
}

/** The settings of a data set that a manifest depends on. */
export type HostDataConfig = Pick<
  DataConfig,
  "hosts" | "verify" | "hostCacheBytes" | "valFraction"
>;

/** Options of {@linkcode makeManifest}. */
export interface ManifestOptions {
  readonly data: HostDataConfig;
  /** Name of this machine. */
  readonly hostname: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Lists a data set's files.
 *
 * @throws {UsageError} when other hosts are to fetch what has no files
 */
export async function makeManifest(
  set: ImageSet,
  { data, hostname, signal }: ManifestOptions,
): Promise<Manifest> {
  const { root } = set;
  const found = filesOf(set, data);
  if (found.kind === "module" && data.hosts === "fetch") {
    throw new UsageError(
      `data.hosts is fetch, but the samples of data.module (${root}) are no files that other hosts could fetch: set ` +
        "data.hosts to copy, and give each host the module and what it reads",
    );
  }
  // Only who fetches compares times: copies have others.
  const table = data.hosts === "fetch" ? found.table : found.table.withoutTimes();
  const hashes = await hashFiles(root, table, data.verify === "hashes", signal);
  let totalBytes = 0;
  for (let row = 0; row < table.length; row++) totalBytes += Math.max(table.bytes(row), 0);
  const realRoot = found.kind === "module" ? root : await Deno.realPath(root);
  return {
    version: 1,
    ...{ kind: found.kind, root: calledPath(root), hostname },
    origin: sha256(`${hostname}\0${realRoot}`),
    content: data.hosts === "fetch" ? contentOf(table, hashes) : "",
    sides: found.sides,
    totalBytes,
    hasHashes: hashes.length > 0,
    witnesses: found.kind === "module" ? [] : await witnessesOf(root, table),
    tableBytes: table.memory.length,
    ...{ table, hashes },
  };
}

/** Packs a manifest. */
export async function packManifest(manifest: Manifest): Promise<Uint8Array<ArrayBuffer>> {
  const { table, hashes, ...head } = manifest;
  const text = new TextEncoder().encode(JSON.stringify(head));
  const begin = 8 + roundUp(text.length), { memory } = table;
  const bytes = new Uint8Array(begin + memory.length + hashes.length);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 8);
  bytes.set(memory, begin);
  bytes.set(hashes, begin + memory.length);
  return new Uint8Array(
    await promisify<Uint8Array, object, Uint8Array>(gzip)(bytes, { level: LEVEL }),
  );
}

/**
 * Unpacks a manifest.
 *
 * @throws {LockstepError} when it is damaged, or of another version
 */
export async function unpackManifest(packed: Uint8Array): Promise<Manifest> {
  try {
    const bytes = new Uint8Array(await promisify<Uint8Array, Uint8Array>(gunzip)(packed));
    const headBytes = new DataView(bytes.buffer).getUint32(0, true);
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + headBytes));
    const head = headSchema.parse(JSON.parse(text));
    const begin = 8 + roundUp(headBytes), end = begin + head.tableBytes;
    // At the beginning of memory of its own: its columns have to be aligned.
    const table = new SampleTable(bytes.slice(begin, end));
    const hashes = bytes.slice(end);
    if (hashes.length !== (head.hasHashes ? HASH_BYTES * table.length : 0)) {
      throw new RangeError("the hashes are cut short");
    }
    return { ...head, table, hashes };
  } catch (error) {
    throw new LockstepError(
      "The list of the data set's files that the coordinator sent can't be read: use the same version of Lockstep on " +
        "all hosts",
      { cause: error },
    );
  }
}

/** The part of a file's SHA-256 that a manifest has; nothing where it has none. */
export function hashOfRow({ hashes }: Pick<Manifest, "hashes">, row: number): string | undefined {
  const hash = hashes.subarray(HASH_BYTES * row, HASH_BYTES * (row + 1));
  return hash.some((byte) => byte !== 0) ? hash.toHex() : undefined;
}

/** The files of a set: those of its samples, or those that hold them. */
function filesOf(
  { root, files, source }: ImageSet,
  { valFraction }: HostDataConfig,
): Pick<Manifest, "kind" | "table" | "sides"> {
  if (files) {
    const table = new SampleTable(files.memory);
    return { kind: "images", table, sides: sidesOf(table, valFraction) };
  }
  const builder = new SampleTableBuilder();
  const { recipe } = source;
  if (recipe?.kind === "cifar10") {
    const folder = relative(root, recipe.folder);
    for (const name of CIFAR10_FILES) {
      const { size, mtime } = Deno.statSync(join(recipe.folder, name));
      builder.setFile(builder.add(folder, name, 0), size, mtime?.getTime() ?? 0);
    }
    const table = builder.finish({ classes: [""], train: builder.length });
    return { kind: "files", table, sides: [] };
  }
  return { kind: "module", table: builder.finish({ classes: [], train: 0 }), sides: [] };
}

/** The folders whose subfolders are the classes: a pair, or the root. */
function sidesOf(table: SampleTable, valFraction: number | null | undefined): string[] {
  if ((valFraction ?? null) !== null) return [""];
  return [0, table.length - 1].map((row) => table.path(row).split("/", 1)[0] ?? "");
}

async function hashFiles(
  root: string,
  table: SampleTable,
  isWanted: boolean,
  signal: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  const hashes = new Uint8Array(isWanted ? HASH_BYTES * table.length : 0);
  if (!isWanted) return hashes;
  await forEachAtOnce(table, async ({ path }, row) => {
    signal?.throwIfAborted();
    const digest = await digestOf(join(root, path));
    if (digest) hashes.set(digest.subarray(0, HASH_BYTES), HASH_BYTES * row);
  });
  return hashes;
}

/** A hash that doesn't depend on classes, and on which files validate. */
function contentOf(table: SampleTable, hashes: Manifest["hashes"]): string {
  const lines = Array.from(table, ({ path, bytes, modified }, row) => {
    return `${path}\0${bytes}\0${modified}\0${hashOfRow({ hashes }, row) ?? ""}\n`;
  });
  const hash = createHash("sha256");
  for (const line of lines.sort()) hash.update(line);
  return hash.digest("hex");
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
