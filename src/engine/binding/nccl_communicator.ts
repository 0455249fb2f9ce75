/**
 * A communicator of NCCL: one rank's end of what several GPUs sum.
 *
 * @module
 */
import { delay, waitAtMost } from "../../base/async.ts";
import { LockstepError } from "../../base/errors.ts";
import { Pending } from "../../base/pending.ts";
import { NCCL_RESULT, ncclError, ncclTimeout } from "./nccl_problems.ts";
import { NCCL_FLOAT32, NCCL_SCALAR_OF_HOST, NCCL_SUM, type NcclSymbols } from "./nccl_symbols.ts";
import { cString } from "./status.ts";

/** Circumstances in which a wait ends without what it waits for. */
export interface NcclWaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** Time limit in milliseconds. */
  readonly timeoutMs: number;
}

/** A rank's place, and the limits of its joining. */
export interface CommunicatorOptions extends NcclWaitOptions {
  readonly rank: number;
  readonly worldSize: number;
}

/** A sum over the ranks: `to = Σ_r factor_r · from_r`. */
export interface AllReduce {
  /** Address in the memory of the rank's GPU. */
  readonly from: bigint;
  /** The same as `from`, for a sum in place, or memory apart from it. */
  readonly to: bigint;
  /** Number of float32 values. */
  readonly floats: number;
  /**
   * This rank's factor, a float32. All ranks give one or none: NCCL sums with factors by other kernels, and waits for
   * ever where the ranks differ.
   */
  readonly factor?: number;
}

/** Milliseconds for which a state is polled before other work gets a turn. */
const SPIN_MS = 0.2;
/** Milliseconds between two looks at work that is going on. */
const POLL_MS = 20;
/** Milliseconds that NCCL gets to end what hangs. */
const ABORT_MS = 5_000;

/** One rank's end. Calls never overlap, except {@linkcode Communicator.abort}. */
export class Communicator {
  readonly rank: number;
  readonly worldSize: number;
  readonly #symbols: NcclSymbols;
  /** NCCL writes the handle once more when all have joined: it has to stay where it is. */
  readonly #handle: BigUint64Array<ArrayBuffer>;
  readonly #result = new Int32Array(1);
  #ended: Promise<void> | undefined;
  #reason: Error | undefined;

  private constructor(
    symbols: NcclSymbols,
    handle: BigUint64Array<ArrayBuffer>,
    { rank, worldSize }: CommunicatorOptions,
  ) {
    this.#symbols = symbols;
    this.#handle = handle;
    this.rank = rank;
    this.worldSize = worldSize;
  }

  /** Waits until all ranks have joined; {@linkcode Nccl.join} calls it. */
  static async joined(
    symbols: NcclSymbols,
    handle: BigUint64Array<ArrayBuffer>,
    options: CommunicatorOptions,
  ): Promise<Communicator> {
    const communicator = new Communicator(symbols, handle, options);
    await communicator.#ready("ncclCommInitRankConfig", options);
    return communicator;
  }

  /**
   * Enqueues sums on a stream, one after the other. All ranks enqueue the same sums, in the same order. The stream has
   * them when the promise resolves; they are done when the stream is.
   *
   * @param stream `CUstream` of this rank's GPU
   * @throws {NcclError} when NCCL fails or takes longer than the time limit; the communicator has ended then
   * @throws The signal's reason when it fires, with the same effect
   */
  async allReduce(
    sums: readonly AllReduce[],
    stream: bigint,
    options: NcclWaitOptions,
  ): Promise<void> {
    this.#requireOpen();
    const operators: number[] = [];
    try {
      for (const { factor } of sums) operators.push(this.#operatorFor(factor));
      this.#check(this.#symbols.ncclGroupStart(), "ncclGroupStart");
      // A group that is begun must be ended, whatever happens inside: NCCL counts by thread.
      const codes = sums.map(({ from, to, floats }, at) =>
        this.#symbols.ncclAllReduce(
          from,
          to,
          BigInt(floats),
          NCCL_FLOAT32,
          operators[at]!,
          this.#id,
          stream,
        )
      );
      const code = this.#symbols.ncclGroupEnd();
      for (const one of codes) this.#check(one, "ncclAllReduce");
      this.#check(code, "ncclAllReduce");
    } catch (error) {
      await this.abort(error as Error);
      throw error;
    }
    await this.#ready("ncclAllReduce", options);
    for (const operator of new Set(operators)) {
      if (operator !== NCCL_SUM) this.#symbols.ncclRedOpDestroy(operator, this.#id);
    }
  }

  /**
   * Waits for work that contains sums of this communicator.
   *
   * @param done Resolves when the stream is done
   * @param what Name for messages
   * @throws {NcclError} when NCCL fails or the work takes longer than the time limit; the communicator has ended then
   * @throws The signal's reason when it fires, with the same effect
   */
  async completed(
    done: Promise<void>,
    what: string,
    { signal, timeoutMs }: NcclWaitOptions,
  ): Promise<void> {
    const outcome = new Pending<void>();
    const look = () => {
      try {
        this.#requireNoError(what);
      } catch (error) {
        outcome.fail(error);
      }
    };
    // A stream is done, too, when its sums were aborted: without this look they would count as whole.
    done.then(look).then(() => outcome.finish(), (error) => outcome.fail(error));
    const looks = setInterval(look, POLL_MS);
    const makeError = () => ncclTimeout(what, this.rank, Math.round(timeoutMs / 1000));
    try {
      await outcome.result({ signal, timeout: { ms: timeoutMs, makeError } });
    } catch (error) {
      await this.abort(error as Error);
      throw error;
    } finally {
      clearInterval(looks);
    }
  }

  /**
   * Ends what is going on, at once and without the other ranks, on another thread: whatever hangs in NCCL is released.
   * Resolves when NCCL has ended it, or after five seconds.
   *
   * @param reason The error of calls that are waiting, and of later ones
   */
  async abort(reason?: Error): Promise<void> {
    this.#reason ??= reason;
    this.#ended ??= this.#symbols.ncclCommAbort(this.#id).then(() => {});
    await waitAtMost(ABORT_MS, this.#ended);
  }

  /** Ends the communicator together with the other ranks, when all sums are done; by force after five seconds. */
  async close(): Promise<void> {
    if (this.#ended) return await this.abort();
    const code = this.#symbols.ncclCommFinalize(this.#id);
    try {
      this.#check(code, "ncclCommFinalize");
      await this.#ready("ncclCommFinalize", { timeoutMs: ABORT_MS });
    } catch {
      return await this.abort(); // nothing of it is needed any more
    }
    this.#ended ??= this.#symbols.ncclCommDestroy(this.#id).then(() => {});
    await waitAtMost(ABORT_MS, this.#ended);
  }

  get #id(): bigint {
    return this.#handle[0]!;
  }

  #requireOpen(): void {
    if (this.#ended) {
      throw this.#reason ?? new LockstepError("The communicator of NCCL has ended");
    }
  }

  /** An operator that multiplies this rank's values by a factor before it adds. */
  #operatorFor(factor: number | undefined): number {
    if (factor === undefined) return NCCL_SUM;
    const operator = new Int32Array(1);
    const call = "ncclRedOpCreatePreMulSum";
    const code = this.#symbols[call](
      operator,
      new Float32Array([factor]),
      NCCL_FLOAT32,
      NCCL_SCALAR_OF_HOST,
      this.#id,
    );
    this.#check(code, call);
    return operator[0]!;
  }

  /** Waits until NCCL has worked off a call. */
  async #ready(call: string, { signal, timeoutMs }: NcclWaitOptions): Promise<void> {
    const begin = performance.now();
    try {
      for (;;) {
        if (this.#state() !== NCCL_RESULT.inProgress) break;
        const waited = performance.now() - begin;
        if (waited >= timeoutMs) throw ncclTimeout(call, this.rank, Math.round(timeoutMs / 1000));
        if (waited > SPIN_MS) await delay(1, signal);
      }
      this.#requireNoError(call);
    } catch (error) {
      await this.abort(error as Error);
      throw error;
    }
  }

  #requireNoError(call: string): void {
    this.#check(this.#state(), call);
  }

  /** Result of what NCCL does on its own threads. */
  #state(): number {
    this.#requireOpen(); // NCCL has freed it
    this.#check(this.#symbols.ncclCommGetAsyncError(this.#id, this.#result), "its state");
    return this.#result[0]!;
  }

  #check(code: number, call: string): void {
    if (code === NCCL_RESULT.success || code === NCCL_RESULT.inProgress) return;
    const said = saidBy(this.#symbols, code, this.#id);
    throw ncclError(code, { call, rank: this.rank, said });
  }
}

/**
 * Returns what NCCL says about a result.
 *
 * @param handle The communicator, where there is one
 */
export function saidBy(symbols: NcclSymbols, code: number, handle = 0n): string {
  const text = cString(symbols.ncclGetErrorString(code));
  const last = cString(symbols.ncclGetLastError(handle)).trim();
  return last === "" ? text : `${text}; ${last}`;
}
