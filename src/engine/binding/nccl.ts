/**
 * NCCL: sums over GPUs of several processes.
 *
 * Communicators are non-blocking. No call waits for another rank: what a call begins is polled, so that a signal, a time
 * limit or the loss of a rank ends each wait.
 *
 * @module
 */
import { join } from "node:path";
import { NCCL_LIBRARY } from "../../base/cuda_libraries.ts";
import { task } from "../../base/invocation.ts";
import { loadForGood } from "./dynamic_loader.ts";
import { setNativeVariables } from "./native_environment.ts";
import { Communicator, type CommunicatorOptions, saidBy } from "./nccl_communicator.ts";
import { NCCL_RESULT, NcclError, ncclError } from "./nccl_problems.ts";
import {
  MIN_NCCL_VERSION,
  NCCL_SYMBOLS,
  type NcclSymbols,
  nonBlockingConfig,
  UNIQUE_ID_BYTES,
} from "./nccl_symbols.ts";

/** One order of summation, whatever the cards and links: a ring, and a protocol without shortcuts. */
const DETERMINISTIC = { NCCL_ALGO: "Ring", NCCL_PROTO: "Simple" };

/** Options for opening NCCL. */
export interface NcclOptions {
  /** Folder of NVIDIA's wheels; where NCCL isn't there, the system looks for it by its name. */
  readonly nvidia?: string | undefined;
  /**
   * Sum in one order, so that equal inputs give equal bits in each process and each run on the same machine. It takes
   * precedence over the user's NCCL_ALGO and NCCL_PROTO. NCCL reads these once: the first opening decides.
   */
  readonly deterministic?: boolean;
}

/** The open library. */
export class Nccl {
  /** Such as `2.27.7`. */
  readonly version: string;
  readonly #symbols: NcclSymbols;

  private constructor(symbols: NcclSymbols, version: number) {
    this.#symbols = symbols;
    this.version = [Math.floor(version / 10_000), Math.floor(version / 100) % 100, version % 100]
      .join(".");
  }

  /**
   * Opens the library.
   *
   * @throws {NcclError} when it is missing, doesn't load, or is too old
   */
  static open({ nvidia, deterministic = false }: NcclOptions = {}): Nccl {
    const { folder, name } = NCCL_LIBRARY;
    const path = nvidia && join(nvidia, folder, "lib", name);
    const file = path !== undefined && isFile(path) ? path : name;
    const missing = loadForGood(file);
    if (missing !== undefined) {
      throw new NcclError(
        "unusable",
        `NCCL doesn't load (${missing}): run "${task("setup --device gpu")}"`,
      );
    }
    if (deterministic) setNativeVariables(DETERMINISTIC, true);
    const { symbols } = Deno.dlopen(file, NCCL_SYMBOLS);
    const version = new Int32Array(1);
    const code = symbols.ncclGetVersion(version);
    if (code !== NCCL_RESULT.success || version[0]! < MIN_NCCL_VERSION) {
      throw new NcclError(
        "unusable",
        `NCCL at ${file} is too old (version code ${version[0]}; 2.14 is needed): run ` +
          `"${task("setup --device gpu")}"`,
      );
    }
    return new Nccl(symbols, version[0]!);
  }

  /**
   * Makes the id by which the ranks of one communicator find each other. The process that makes it must live until all
   * have joined.
   *
   * @throws {NcclError} when no network interface can be used
   */
  makeId(): Uint8Array<ArrayBuffer> {
    const id = new Uint8Array(UNIQUE_ID_BYTES);
    const code = this.#symbols.ncclGetUniqueId(id);
    if (code !== NCCL_RESULT.success) {
      throw ncclError(code, { call: "ncclGetUniqueId", said: saidBy(this.#symbols, code) });
    }
    return id;
  }

  /**
   * Joins the other ranks, on the GPU whose context is current to this thread; the first visible one where none is.
   *
   * @throws {NcclError} when NCCL fails, as for two ranks on one GPU, or takes longer than the time limit
   * @throws The signal's reason when it fires
   */
  async join(id: Uint8Array<ArrayBuffer>, options: CommunicatorOptions): Promise<Communicator> {
    const { rank, worldSize } = options;
    const handle = new BigUint64Array(1);
    const code = this.#symbols.ncclCommInitRankConfig(
      handle,
      worldSize,
      id,
      rank,
      nonBlockingConfig(),
    );
    if (code !== NCCL_RESULT.success && code !== NCCL_RESULT.inProgress) {
      throw ncclError(code, {
        call: "ncclCommInitRankConfig",
        rank,
        said: saidBy(this.#symbols, code),
      });
    }
    return await Communicator.joined(this.#symbols, handle, options);
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false; // missing, or in a folder that can't be read: the system looks for it
  }
}
