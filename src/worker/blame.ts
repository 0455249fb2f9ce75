/**
 * The cause of a worker's failure, by which the coordinator decides whether another process would fare better.
 *
 * @module
 */
import { LockstepError, SystemError, UsageError } from "../base/errors.ts";
import { DataError } from "../data/codecs/data_error.ts";
import { NcclError } from "../engine/binding/nccl_problems.ts";
import { EngineError } from "../engine/binding/status.ts";
import { ExchangeError } from "../exchange/silence.ts";
import { OrphanedError } from "./parent.ts";
import type { Blame } from "../protocol/messages.ts";

/**
 * Tells the cause of an error. A sentence of our own about what the user has given would be the same in any process;
 * what the engine, the system or code of the user's own has thrown may not.
 */
export function blameOf(error: unknown): Blame {
  if (error instanceof ExchangeError) return "exchange";
  // Whatever a rank does to NCCL, the others see; after an error of CUDA this process's GPU is of no more use to it.
  if (error instanceof NcclError) {
    return error.failure === "unhandledCudaError" ? "process" : "exchange";
  }
  if (error instanceof UsageError || error instanceof DataError) return "input";
  if (error instanceof OrphanedError) return "process";
  const isSentence = error instanceof LockstepError && !(error instanceof SystemError) &&
    !(error instanceof EngineError);
  return isSentence && error.cause === undefined ? "input" : "process";
}
