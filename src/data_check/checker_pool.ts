/**
 * Several checkers at work: as many images at a time as there are processes, and each process has one image in
 * memory.
 *
 * @module
 */
import type { CheckAnswer, CheckRequest, Thumbnail } from "./checker.ts";
import { CheckerLostError, CheckerProcess } from "./checker_process.ts";
import type { ImageFacts } from "./inspect_image.ts";

/** Most processes: each takes up to 400 MB for the largest image that is allowed. */
const MAX_PROCESSES = 8;

/** Options of a {@linkcode CheckerPool}. */
export interface PoolOptions {
  /** Larger images aren't decoded. */
  readonly maxPixels: number;
  /** Processes (default: one per core, at most 8). */
  readonly processes?: number;
  readonly signal?: AbortSignal;
}

/** Processes that check images; they end with their scope. */
export class CheckerPool implements AsyncDisposable {
  readonly #options: PoolOptions;
  readonly #idle: CheckerProcess[] = [];
  readonly #said = new Map<number, string>();

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /**
   * Checks images, each once.
   *
   * @param paths Files
   * @param onDone Called after each with how many are done
   * @returns What they are, in the order of the paths
   * @throws {UsageError} when no process can work
   */
  async inspect(
    paths: readonly string[],
    onDone: (done: number) => void,
  ): Promise<ImageFacts[]> {
    const facts: ImageFacts[] = new Array(paths.length);
    let done = 0;
    await this.#eachOf(paths, {}, (index, answer) => {
      facts[index] = answer?.kind === "facts"
        ? answer.facts
        : { traits: [], problem: { kind: "crash", detail: "" } };
      onDone(++done);
    });
    return facts;
  }

  /**
   * Small images.
   *
   * @param paths Files
   * @param side Most pixels on a side
   * @returns In the order of the paths; nothing where it can't be decoded any more
   */
  async thumbnails(paths: readonly string[], side: number): Promise<(Thumbnail | undefined)[]> {
    const found: (Thumbnail | undefined)[] = new Array(paths.length).fill(undefined);
    await this.#eachOf(paths, { thumbnail: side, offset: THUMBNAIL_OFFSET }, (index, answer) => {
      if (answer?.kind === "thumbnail") found[index] = answer.thumbnail;
    });
    return found;
  }

  /** Ends the processes; gives what the decoders' libraries printed, by positions in the paths that were inspected. */
  async end(): Promise<ReadonlyMap<number, string>> {
    const processes = this.#idle.splice(0);
    await Promise.all(processes.map((checker) => this.#keepSaid(checker)));
    return this.#said;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((checker) => checker[Symbol.asyncDispose]()));
  }

  async #eachOf(
    paths: readonly string[],
    { thumbnail, offset = 0 }: { thumbnail?: number; offset?: number },
    take: (index: number, answer: CheckAnswer | undefined) => void,
  ): Promise<void> {
    const { maxPixels, processes = navigator.hardwareConcurrency, signal } = this.#options;
    let next = 0;
    const lane = async () => {
      let checker = this.#idle.pop() ?? await CheckerProcess.start();
      try {
        for (let index = next++; index < paths.length; index = next++) {
          signal?.throwIfAborted();
          const request: CheckRequest = {
            index: offset + index,
            path: paths[index],
            maxPixels,
            ...(thumbnail === undefined ? {} : { thumbnail }),
          };
          try {
            take(index, await checker.ask(request));
          } catch (error) {
            if (!(error instanceof CheckerLostError)) throw error;
            signal?.throwIfAborted();
            take(index, undefined);
            await this.#keepSaid(checker);
            checker = await CheckerProcess.start();
          }
        }
      } catch (error) {
        next = paths.length; // the other lanes end after their image
        await checker[Symbol.asyncDispose]();
        throw error;
      }
      this.#idle.push(checker);
    };
    const count = Math.min(processes, MAX_PROCESSES, paths.length);
    const ended = await Promise.allSettled(Array.from({ length: count }, lane));
    const failed = ended.find(({ status }) => status === "rejected");
    if (failed) throw (failed as PromiseRejectedResult).reason;
  }

  async #keepSaid(checker: CheckerProcess): Promise<void> {
    for (const [index, text] of await checker.end()) this.#said.set(index, text);
  }
}

/** Thumbnails' numbers are beyond those of images that are inspected. */
const THUMBNAIL_OFFSET = 2 ** 40;
