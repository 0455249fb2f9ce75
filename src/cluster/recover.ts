/**
 * Recovery of a cluster that has lost workers: the others keep their processes and their state, and go on from the last
 * step that all of them hold, with new workers in the place of the lost ones, or alone.
 *
 * @module
 */
import type { ComputeDevice } from "../base/compute_device.ts";
import { LockstepError } from "../base/errors.ts";
import type { LossPolicy } from "../base/loss_policy.ts";
import type { StepKey } from "../base/step_key.ts";
import type { RunEvent } from "../events/run_events.ts";
import { ExchangeError } from "../exchange/silence.ts";
import { HostLostError } from "../hosts/remote_host.ts";
import { type Reply, WorkerFailedError } from "../protocol/command_channel.ts";
import type { EpochSteps } from "../protocol/generation_commands.ts";
import type { Blame } from "../protocol/messages.ts";
import { WorkerLostError } from "./lost_worker.ts";
import type { RestartBudget } from "./restart_budget.ts";

/** A loss of workers: the facts of its event, and the place. */
export interface WorkersLost
  extends Pick<RunEvent & { readonly type: "workersLost" }, "generation" | "during" | "workers"> {
  /** The step that the ranks were in, or were in last. */
  readonly place: StepKey | undefined;
}

/** A recovery: the facts of its event, and what the records are made of. */
export interface Recovered extends
  Pick<
    RunEvent & { readonly type: "recovery" },
    "generation" | "ranks" | "workers" | "restarts" | "seconds"
  > {
  readonly policy: Exclude<LossPolicy, "fail">;
  /** Steps of the epoch that the ranks hold, if they were training. */
  readonly steps: number | undefined;
  /** The reason where only the exchange had failed, as a sentence. */
  readonly exchangeFailure?: string;
}

/** The settings of recoveries, and their listener. */
export interface RecoveryOptions {
  readonly policy: LossPolicy;
  readonly budget: RestartBudget;
  /**
   * Returns the most rows that each of the workers that are left may compute at once, where the memory of their devices is
   * short for their shares of a step.
   */
  readonly limitRows?:
    | ((workers: number, devices: readonly ComputeDevice[]) => number | undefined)
    | undefined;
  /** Called with the workers' answers when the exchange of a new generation is open. */
  readonly onOpened?: ((replies: readonly Reply[]) => void) | undefined;
  readonly onLost: (lost: WorkersLost) => void;
  readonly onRecovered: (recovered: Recovered) => void;
}

/** All workers are lost: only a checkpoint has the state. */
export class AllWorkersLostError extends LockstepError {
  override name = "AllWorkersLostError";
}

/** Returns the cause of an error, where workers or their exchange are to blame for it. */
export function blameFor(error: unknown): Blame | undefined {
  if (error instanceof WorkerFailedError) return error.blame;
  if (error instanceof WorkerLostError) return error.isInput ? "input" : "process";
  if (error instanceof ExchangeError) return "exchange";
  if (error instanceof HostLostError) return "process";
  return undefined;
}

/** The ranks of a generation. */
export interface Membership {
  /** Present ranks of those that stay, in order. */
  readonly staying: readonly number[];
  /** New ranks by present ones, of all that belong to the next generation. */
  readonly ranks: Readonly<Record<number, number>>;
  /** Ranks that new workers get. */
  readonly replaced: readonly number[];
  readonly worldSize: number;
}

/** Returns the next generation's ranks. */
export function nextMembership(
  worldSize: number,
  lost: ReadonlySet<number>,
  policy: Exclude<LossPolicy, "fail">,
): Membership {
  const all = Array.from({ length: worldSize }, (_, rank) => rank);
  const staying = all.filter((rank) => !lost.has(rank));
  const isRestart = policy === "restart";
  const members = isRestart ? all : staying;
  return {
    staying,
    ranks: Object.fromEntries(members.map((rank, position) => [rank, isRestart ? rank : position])),
    replaced: isRestart ? all.filter((rank) => lost.has(rank)) : [],
    worldSize: members.length,
  };
}

/** The steps of an epoch that the coordinator has the results of. */
export interface BookedSteps {
  readonly epoch: number;
  /** Steps of it that were done before the command in which the ranks train. */
  readonly startStep: number;
  /** Steps of it whose results are known. */
  readonly steps: number;
}

/**
 * The steps from which all ranks can go on.
 *
 * @param held The steps that each rank holds; of another epoch, or none, where the command hasn't reached it
 */
export function commonSteps(
  held: readonly (EpochSteps | null)[],
  { epoch, startStep, steps: booked }: BookedSteps,
): EpochSteps {
  const known = held.map((own) => own?.epoch === epoch ? own.steps : startStep);
  return { epoch, steps: Math.min(...known, booked) };
}
