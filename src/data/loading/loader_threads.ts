/**
 * The loader threads of a process, and what they are handed.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import { engineAddress } from "../../engine/native_runtime.ts";
import {
  type MakerRecipe,
  ThreadControl,
  type ThreadError,
  type ThreadMail,
  type ThreadReport,
  type ThreadStart,
} from "./thread_control.ts";
import { errorOf } from "./thread_errors.ts";
import {
  ROW_STATES,
  slotBytes,
  type SlotRow,
  type SlotStep,
  textBytes,
  ThreadSlot,
} from "./thread_slot.ts";

/** The size of a slot is a multiple of this, so that steps with longer paths fit, too. */
const SLOT_UNIT = 2 ** 16;

/** Milliseconds between two looks at what users' code is making. */
const WATCH_MS = 500;

/** A thread. */
interface Thread {
  readonly worker: Worker;
  /** Resolves when it has ended. */
  readonly end: PromiseWithResolvers<void>;
  /** Tells whether its code is loaded. */
  readonly isReady: () => boolean;
}

/** A step that was handed out. */
export interface OpenStep {
  readonly ticket: number;
  readonly slot: ThreadSlot;
  /** Errors of its rows, as far as they have come. */
  readonly errors: Map<number, ThreadError>;
  onError: (() => void) | undefined;
}

/**
 * A pool of threads that make rows of batches. Loaders share it; whoever has made it disposes of it when their
 * iterations are over.
 *
 * The threads start with the first step, or earlier with {@linkcode start}.
 */
export class LoaderThreads implements AsyncDisposable {
  /** Number of threads. */
  readonly count: number;
  readonly #control: ThreadControl;
  /** Asks for the samples that users' code is making. */
  #watch: ReturnType<typeof setInterval> | undefined;
  #threads: Thread[] = [];
  #engineSent = false;
  /** The reason why no thread makes rows any more. */
  #broken: Error | undefined;
  #lastId = 0;
  /** Memory that no step is in. */
  readonly #free: ThreadSlot[] = [];
  /** Steps that are not finished yet, by their tickets. */
  readonly #open = new Map<number, OpenStep>();

  /** @param count Number of threads, at least 1 */
  constructor(count: number) {
    this.count = count;
    this.#control = new ThreadControl(count);
  }

  /** Starts the threads, without waiting for them; the engine needn't be open yet. */
  start(): void {
    if (this.#threads.length > 0) return;
    this.#threads = Array.from({ length: this.count }, (_, thread) => this.#startThread(thread));
  }

  /**
   * Makes a row maker known to the threads. The engine must be open.
   *
   * @param onMaking Called about twice a second with a sample that a user's code is making, or with nothing
   * @returns Its number
   */
  addMaker(recipe: MakerRecipe, onMaking?: (index: number | undefined) => void): number {
    this.start();
    if (!this.#engineSent) this.#send({ kind: "engine", address: engineAddress() });
    this.#engineSent = true;
    const id = ++this.#lastId;
    this.#send({ kind: "maker", id, recipe });
    if (onMaking && recipe.source.kind === "module") this.#watchModules(onMaking);
    return id;
  }

  /**
   * Hands a step out.
   *
   * @param rowsBytes The memory that its rows take while they are made
   * @throws {LockstepError} when the threads have ended
   */
  open(step: Omit<SlotStep, "ticket">, rowsBytes: number, rows: readonly SlotRow[]): OpenStep {
    if (this.#broken) throw this.#broken;
    const ticket = ++this.#lastId;
    const slot = this.#slotOf(slotBytes(rowsBytes, rows.length, textBytes(rows)));
    slot.open({ ...step, ticket }, rowsBytes, rows);
    const open: OpenStep = { ticket, slot, errors: new Map(), onError: undefined };
    this.#open.set(ticket, open);
    this.#control.offer(slot.id);
    return open;
  }

  /**
   * Waits until a step is finished, or no thread works on it any more after it was cancelled.
   *
   * @returns The errors of its rows
   * @throws {LockstepError} when the threads have ended
   */
  async finished(open: OpenStep): Promise<ReadonlyMap<number, Error>> {
    const { ticket, slot, errors } = open;
    const isMade = await slot.finished();
    if (isMade && !slot.isCancelled) {
      const failed = slot.states().filter((state) => state === ROW_STATES.failed).length;
      // A row's error may come later than the end of the step, which another thread has brought about.
      while (errors.size < failed && !this.#broken) {
        await new Promise<void>((resolve) => open.onError = resolve);
      }
    }
    this.#open.delete(ticket);
    if (!isMade || this.#broken) throw this.#broken ?? ended();
    return new Map(Array.from(errors, ([row, error]) => [row, errorOf(error)]));
  }

  /** Gives the memory of a finished step back, for other steps. */
  free({ slot }: OpenStep): void {
    this.#free.push(slot);
  }

  /** Gives up the memory of a finished step that somebody may still look at. */
  discard({ slot }: OpenStep): void {
    this.#send({ kind: "noSlot", id: slot.id });
  }

  /** Ends the threads, after the rows in hand. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#watch);
    this.#control.stop();
    await Promise.all(this.#threads.map(async ({ worker, isReady, end }) => {
      // A thread that is only being loaded has nothing in hand.
      if (isReady() && !this.#broken) await end.promise;
      worker.terminate();
    }));
    this.#break(ended());
  }

  #startThread(thread: number): Thread {
    const url = import.meta.resolve("./loader_thread.ts");
    const worker = new Worker(url, { type: "module", name: "loader" });
    const end = Promise.withResolvers<void>();
    let isReady = false;
    worker.onmessage = ({ data }: MessageEvent<ThreadReport>) => {
      if (data.kind === "ready") isReady = true;
      else if (data.kind === "ended") end.resolve();
      else if (data.kind === "broken") this.#break(errorOf(data.error));
      else this.#takeError(data);
    };
    worker.onerror = (event) => {
      event.preventDefault(); // it would end this process
      end.resolve();
      this.#break(new LockstepError(`A thread of the loader has failed: ${event.message}`));
    };
    const start: ThreadStart = { control: this.#control.buffer, threads: this.count, thread };
    worker.postMessage(start);
    return { worker, end, isReady: () => isReady };
  }

  /** Looks at what users' code is making: of several samples, at one that was there at the last look, too. */
  #watchModules(onMaking: (index: number | undefined) => void): void {
    let last: number[] = [];
    clearInterval(this.#watch);
    this.#watch = setInterval(() => {
      const { making } = this.#control;
      const made = making.filter((index) => index >= 0);
      onMaking(making.find((index, thread) => index >= 0 && index === last[thread]) ?? made[0]);
      last = making;
    }, WATCH_MS);
  }

  #send(mail: ThreadMail): void {
    for (const { worker } of this.#threads) worker.postMessage(mail);
    this.#control.countMail();
  }

  /** A free slot that is large enough, or a new one. */
  #slotOf(bytes: number): ThreadSlot {
    const fitting = this.#free.findIndex(({ buffer }) => buffer.byteLength >= bytes);
    const [found] = fitting < 0 ? [] : this.#free.splice(fitting, 1);
    if (found) return found;
    const small = this.#free.pop(); // so that there are never more slots than steps at a time
    if (small) this.#send({ kind: "noSlot", id: small.id });
    const buffer = new SharedArrayBuffer(Math.ceil(bytes / SLOT_UNIT) * SLOT_UNIT);
    const slot = new ThreadSlot(++this.#lastId, buffer);
    this.#send({ kind: "slot", id: slot.id, buffer });
    return slot;
  }

  #takeError({ ticket, row, error }: Extract<ThreadReport, { kind: "failed" }>): void {
    const open = this.#open.get(ticket);
    open?.errors.set(row, error);
    open?.onError?.();
  }

  #break(error: Error): void {
    this.#broken ??= error;
    for (const { slot, onError } of this.#open.values()) {
      slot.abandon();
      onError?.();
    }
  }
}

function ended(): LockstepError {
  return new LockstepError("The loader's threads have ended");
}
