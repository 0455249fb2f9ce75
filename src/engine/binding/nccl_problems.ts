/**
 * NCCL's failures in sentences, each with a cure.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";

/** `ncclResult_t` (nccl.h). */
export const NCCL_RESULT = {
  success: 0,
  unhandledCudaError: 1,
  systemError: 2,
  internalError: 3,
  invalidArgument: 4,
  invalidUsage: 5,
  remoteError: 6,
  inProgress: 7,
} as const;

/** The kind of an {@linkcode NcclError}: a result of NCCL, a wait that took too long, or a library that can't be used. */
export type NcclFailure =
  | Exclude<keyof typeof NCCL_RESULT, "success" | "inProgress">
  | "timeout"
  | "unusable";

/** A failure of NCCL. */
export class NcclError extends LockstepError {
  /** Name of the class, for messages. */
  override name = "NcclError";
  /** Kind of the failure. */
  readonly failure: NcclFailure;
  /** The message without the way around NCCL. */
  readonly problem: string;

  /** @param problem What failed, and the cure */
  constructor(failure: NcclFailure, problem: string) {
    super(`${problem}; or set exchange to shared-memory`);
    this.failure = failure;
    this.problem = problem;
  }
}

const WITHOUT_PEERS =
  "if the cards can't reach each other's memory (PCIe ACS, virtual machines, consumer cards), set NCCL_P2P_DISABLE=1";
const MORE = "NCCL_DEBUG=INFO prints more";

const CURES: Readonly<Record<Exclude<NcclFailure, "unusable">, string>> = {
  unhandledCudaError: `check the GPUs with nvidia-smi; ${WITHOUT_PEERS}`,
  systemError:
    "name a network interface that all ranks have (NCCL_SOCKET_IFNAME=lo on one machine), and in a container give " +
    "shared memory (--shm-size=1g)",
  internalError: WITHOUT_PEERS,
  invalidArgument: "this is an error of Lockstep; please report it",
  invalidUsage: "give each rank a GPU of its own",
  remoteError: "look at the rank that ended first",
  timeout: WITHOUT_PEERS,
};

/** A call that failed, and its rank. */
export interface FailedCall {
  /** Name of NCCL's function. */
  readonly call: string;
  readonly rank?: number | undefined;
  /** Explanation of NCCL. */
  readonly said: string;
}

/**
 * Makes the error of a result.
 *
 * @param code `ncclResult_t`, neither success nor "in progress"
 */
export function ncclError(code: number, { call, rank, said }: FailedCall): NcclError {
  const names = Object.entries(NCCL_RESULT);
  const found = names.find(([, value]) => value === code)?.[0] ?? "internalError";
  const failure = found as keyof typeof CURES;
  const where = rank === undefined ? "" : ` on rank ${rank}`;
  return new NcclError(
    failure,
    `NCCL failed${where} in ${call} (${said.trim()}): ${CURES[failure]}; ${MORE}`,
  );
}

/** Makes the error of a wait that took too long. */
export function ncclTimeout(call: string, rank: number, seconds: number): NcclError {
  return new NcclError(
    "timeout",
    `NCCL on rank ${rank} didn't finish ${call} in ${seconds} s: ${CURES.timeout}; ${MORE}`,
  );
}
