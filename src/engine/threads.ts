/**
 * The threads that processes of this host give to TensorFlow and to the loader. They follow from the host's cores, so
 * that each host derives its own.
 *
 * @module
 */
import { availableParallelism } from "node:os";
import type { Threads } from "./binding/runtime.ts";

/** As the process begins: later its threads may be bound to the cores near a GPU. */
const CORES = availableParallelism();

/** Returns the cores of this host that this process may use. */
export function coresOfHost(): number {
  return CORES;
}

/** Returns the threads of a process that computes alone on this host. */
export function soleProcessThreads(): Threads {
  return { intraOp: coresOfHost(), interOp: 1 };
}

/**
 * Returns the threads of each worker on this host, of TensorFlow as of the loader: one for each core that it has.
 *
 * @param configured The number that the config asks for (`engine.threadsPerWorker`, `data.loaderThreads`)
 * @param workers Workers that share this host
 */
export function workerThreads(configured: number | undefined, workers: number): number {
  return configured ?? Math.max(1, Math.floor(coresOfHost() / workers));
}
