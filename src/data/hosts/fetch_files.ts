/**
 * Fetches a data set's files from the coordinator into the host's cache.
 *
 * All files come before the workers start: they read plain files, need no right to use the network, and a host that can't
 * have the data fails before the first step.
 *
 * @module
 */
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { anySignal, delay } from "../../base/async.ts";
import { asLockstepError, LockstepError, messageOf, UsageError } from "../../base/errors.ts";
import { lockFile } from "../../base/file_lock.ts";
import { formatBytes } from "../../base/format.ts";
import { cacheFolder } from "../../base/paths.ts";
import type { Progress } from "../../provision/progress.ts";
import { openFetchedTree } from "./fetched_cache.ts";
import { FetchedFiles } from "./fetched_files.ts";
import { FileClient, RefusedRequestError } from "./file_client.ts";
import { type FileSource, MAX_ROWS, TransferError } from "./file_source.ts";
import { FrameReader } from "./frame_reader.ts";
import type { Manifest } from "./manifest.ts";

/** Options of {@linkcode fetchFiles}. */
export interface FetchOptions {
  /** The most bytes that the fetched files of all data sets may take. */
  readonly limit: number;
  /** This host at the beginning of a sentence, such as `Host 1 (b)`. */
  readonly hostName: string;
  readonly progress: Progress;
  /** The folder of all fetched data sets (default: in Lockstep's cache). */
  readonly folder?: string;
  /** Files that come at the same time (default 4). */
  readonly connections?: number;
  /** Milliseconds for which the server may send nothing (default 20,000). */
  readonly silenceMs?: number;
  /** Attempts without a byte, one after the other, after which the server counts as gone (default 5). */
  readonly attempts?: number;
  /** Milliseconds before the second attempt; each later one waits for twice as long (default 500). */
  readonly retryMs?: number;
}

/** Fetched files, which stay as long as this isn't disposed of. */
export interface FetchedData extends Disposable {
  /** The folder that the manifest's paths are relative to. */
  readonly root: string;
  /** Bytes that came over the network. */
  readonly fetchedBytes: number;
}

const CONNECTIONS = 4, SILENCE_MS = 20_000, ATTEMPTS = 5, RETRY_MS = 500;
/** Bytes of the files that one request asks for, where that isn't one file. */
const REQUEST_BYTES = 2 ** 23;
/** Transfers of a file that arrives with another hash than the server's. */
const MAX_DAMAGED = 3;
/** Bytes of the disk that stay free. */
const SPARE_BYTES = 2 ** 26;
/** Milliseconds between two reports of the progress. */
const PROGRESS_MS = 100;

/**
 * Fetches the files that aren't in the host's cache yet.
 *
 * @throws {UsageError} when there is no room for them, or they have changed on the coordinator
 * @throws {LockstepError} when the server can't be reached, stops answering, or refuses
 */
export async function fetchFiles(
  manifest: Manifest,
  source: FileSource,
  options: FetchOptions,
): Promise<FetchedData> {
  const { limit, hostName, progress, folder = join(cacheFolder(), "fetched") } = options;
  const { signal } = progress;
  const what = `Images of ${manifest.hostname}`;
  const onWaiting = () => progress({ what, note: "waiting for another process that fetches" });
  try {
    const tree = await openFetchedTree(manifest, { folder, limit, hostName, onWaiting, signal });
    try {
      const files = new FetchedFiles(manifest, tree.folder);
      // Two agents of one machine: the second one finds what the first has fetched.
      using _fetching = await lockFile(join(tree.folder, "fetching.lock"), { onWaiting, signal });
      await files.adopt(tree);
      const rows = await files.missingRows(signal);
      const transfer = new Transfer(manifest, source, files, { ...options, what });
      if (rows.length > 0) await transfer.run(rows);
      const { fetchedBytes } = transfer;
      return { root: files.root, fetchedBytes, [Symbol.dispose]: () => tree[Symbol.dispose]() };
    } catch (error) {
      tree[Symbol.dispose]();
      throw error;
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw asLockstepError(error);
  }
}

/** The transfer of some files. */
class Transfer {
  fetchedBytes = 0;
  readonly #manifest: Manifest;
  readonly #source: FileSource;
  readonly #files: FetchedFiles;
  readonly #options: FetchOptions & { readonly what: string };
  readonly #failed = new AbortController();
  /** Bytes of unfinished files, by row. */
  readonly #counted = new Map<number, number>();
  #rows: readonly number[] = [];
  #next = 0;
  #hereBytes = 0;
  #reported = -Infinity;

  constructor(
    manifest: Manifest,
    source: FileSource,
    files: FetchedFiles,
    options: FetchOptions & { readonly what: string },
  ) {
    this.#manifest = manifest;
    this.#source = source;
    this.#files = files;
    this.#options = options;
  }

  async run(rows: readonly number[]): Promise<void> {
    const { connections = CONNECTIONS, silenceMs = SILENCE_MS, progress } = this.#options;
    const { table, totalBytes } = this.#manifest;
    const missing = rows.reduce((sum, row) => sum + table.bytes(row), 0);
    this.#hereBytes = totalBytes - missing;
    await this.#requireSpace(missing);
    this.#rows = rows;
    const signal = anySignal(progress.signal, this.#failed.signal);
    using client = new FileClient(this.#source, { silenceMs, signal });
    await this.#retrying(client, () => client.open(this.#manifest.content), () => false);
    const work = async () => {
      try {
        for (let some; (some = this.#take()).length > 0;) await this.#fetch(client, some);
      } catch (error) {
        this.#failed.abort(error);
        throw error;
      }
    };
    await Promise.allSettled(Array.from({ length: connections }, work));
    signal.throwIfAborted();
    await this.#files.removeParts();
    this.#report(true);
  }

  /** The rows of the next request. */
  #take(): number[] {
    const taken: number[] = [];
    let bytes = 0;
    while (this.#next < this.#rows.length && taken.length < MAX_ROWS && bytes < REQUEST_BYTES) {
      const row = this.#rows[this.#next++]!;
      taken.push(row);
      bytes += this.#manifest.table.bytes(row);
    }
    return taken;
  }

  /** Fetches files; what breaks off goes on from there. */
  async #fetch(client: FileClient, rows: readonly number[]): Promise<void> {
    let done = 0, damaged = 0, came = false;
    await this.#retrying(client, async () => {
      while (done < rows.length) {
        const from = await this.#files.partBytes(rows[done]!);
        const left = rows.slice(done);
        const request = { content: this.#manifest.content, rows: left, from };
        const chunks = counted(client.files(request), () => came = true);
        try {
          const reader = new FrameReader(chunks);
          for (const [at, row] of left.entries()) {
            if (await this.#receive(reader, row, at === 0 ? from : 0)) {
              done++;
              damaged = 0;
            } else if (++damaged === MAX_DAMAGED) throw new UsageError(this.#damagedText(row));
            else break; // it is asked for again, from its first byte
          }
        } finally {
          await chunks.return(undefined);
        }
      }
    }, () => {
      const hasCome = came;
      came = false;
      return hasCome;
    });
  }

  /** Receives a file; false when its hash is another one than it should be. */
  async #receive(reader: FrameReader, row: number, from: number): Promise<boolean> {
    const head = await reader.head();
    if (head.row !== row) throw new TransferError("the server sent another file");
    const size = this.#manifest.table.bytes(row);
    if (head.kind === "refused") {
      throw new UsageError(this.#refusedText(row, await reader.text(Math.min(head.bytes, 1000))));
    }
    if (head.bytes !== size - from) {
      throw new TransferError("the server sent a file of another size");
    }
    using file = await this.#files.open(row, from);
    for await (const bytes of reader.bytes(head.bytes)) {
      await file.write(bytes);
      this.fetchedBytes += bytes.length;
      this.#isHere(row, file.bytes);
    }
    const isWhole = await file.finish(await reader.digest());
    if (!isWhole) this.#isHere(row, 0);
    return isWhole;
  }

  /**
   * Repeats what fails for a reason of the network, until too many attempts one after the other have brought nothing.
   *
   * @param hasCome Tells whether something came since it was last asked
   */
  async #retrying(
    client: FileClient,
    attempt: () => Promise<void>,
    hasCome: () => boolean,
  ): Promise<void> {
    const { attempts = ATTEMPTS, retryMs = RETRY_MS, progress } = this.#options;
    const signal = anySignal(progress.signal, this.#failed.signal);
    for (let failures = 0;;) {
      try {
        return await attempt();
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof TransferError)) throw this.#asFailure(error, client);
        failures = hasCome() ? 1 : failures + 1;
        if (failures >= attempts) throw this.#asFailure(error, client);
        await delay(retryMs * 2 ** (failures - 1), signal);
      }
    }
  }

  #asFailure(error: unknown, { url }: FileClient): unknown {
    const { hostName } = this.#options;
    if (error instanceof RefusedRequestError) {
      return new LockstepError(
        `${hostName} can't fetch the images: the coordinator's file server refuses: ${error.message}; start the ` +
          "host's agent with the join line of this run",
        { cause: error },
      );
    }
    if (!(error instanceof TransferError)) return error;
    const reached = formatBytes(this.#hereBytes);
    return new LockstepError(
      `${hostName} can't fetch the images from the coordinator (${this.#manifest.hostname}) at ${url}: ${
        messageOf(error)
      }; ${reached} of ${
        formatBytes(this.#manifest.totalBytes)
      } are here, and the next run goes on from there`,
      { cause: error },
    );
  }

  async #requireSpace(bytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#files.root);
    const free = bavail * bsize - SPARE_BYTES;
    if (free >= bytes) return;
    throw new UsageError(
      `${this.#options.hostName} can't fetch ${formatBytes(bytes)} of images: ${
        formatBytes(Math.max(free, 0))
      } are free for them at ${this.#files.root}; make room, or set LOCKSTEP_CACHE to a folder on another disk`,
    );
  }

  /** Counts the bytes of a file that are here, which may have come in several attempts. */
  #isHere(row: number, bytes: number): void {
    this.#hereBytes += bytes - (this.#counted.get(row) ?? 0);
    if (bytes === this.#manifest.table.bytes(row)) this.#counted.delete(row);
    else this.#counted.set(row, bytes);
    this.#report(false);
  }

  #report(isLast: boolean): void {
    const now = performance.now();
    if (!isLast && now - this.#reported < PROGRESS_MS) return;
    this.#reported = now;
    const { what, progress } = this.#options;
    progress({ what, bytes: this.#hereBytes, totalBytes: this.#manifest.totalBytes });
  }

  #refusedText(row: number, reason: string): string {
    const { hostname, table } = this.#manifest;
    return `${this.#options.hostName} can't fetch ${
      JSON.stringify(table.path(row))
    } from the coordinator (${hostname}): ${reason}; leave the data set alone while a run uses it, and start the run again`;
  }

  #damagedText(row: number): string {
    const { hostname, table, hasHashes } = this.#manifest;
    const change = hasHashes ? ", or it has changed since the run began" : "";
    return `${this.#options.hostName} got ${
      JSON.stringify(table.path(row))
    } from the coordinator (${hostname}) ${MAX_DAMAGED} times with another SHA-256 than expected: the disk or the memory ` +
      `of one of the two is damaged${change}`;
  }
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  onChunk: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    onChunk();
    yield chunk;
  }
}
