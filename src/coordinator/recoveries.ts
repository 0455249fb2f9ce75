/**
 * The recoveries of a run: their limit, their events and their records; and the way back to a checkpoint, when no worker
 * is left.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import type { RecoveryOptions } from "../cluster/recover.ts";
import { RestartBudget } from "../cluster/restart_budget.ts";
import type { Config } from "../config/schema.ts";
import { maskSecrets } from "../base/secrets.ts";
import { recoveryRecord } from "../events/recovery_record.ts";
import type { LostWorker, RunEvent, RunEvents } from "../events/run_events.ts";
import type { History } from "../records/history.ts";
import type { RecoveryRecord } from "../records/recovery_record.ts";
import type { Position } from "./state/run_state.ts";

/** The run goes back to its last checkpoint: all of its workers are lost. */
export class BackToCheckpoint extends LockstepError {
  override name = "BackToCheckpoint";
  readonly folder: string;

  /** @param cause The loss, as an error to show if the run can't go back */
  constructor(folder: string, cause: LockstepError) {
    super(cause.message, { cause });
    this.folder = folder;
  }
}

/** The run that is recovered, as far as its records are concerned. */
export interface RecoveredRun {
  readonly events: Pick<RunEvents, "emit">;
  readonly history: Pick<History, "recoveries" | "workers">;
  readonly position: Pick<Position, "epoch" | "stepsDone">;
}

/** The recoveries of a run, over all of its returns to a checkpoint. */
export class Recoveries {
  readonly #policy: Config["onWorkerLost"];
  readonly #budget: RestartBudget;
  /** The workers that were lost since the last recovery. */
  #lost: LostWorker[] = [];
  #noticed = 0;
  #records: RecoveryRecord[] = [];
  /** Those of a loss of all workers, until the run goes on from its last checkpoint. */
  #gone: { readonly workers: readonly LostWorker[]; readonly noticed: number } | undefined;

  constructor({ onWorkerLost, maxRestarts }: Pick<Config, "onWorkerLost" | "maxRestarts">) {
    this.#policy = onWorkerLost;
    this.#budget = new RestartBudget(maxRestarts);
  }

  /** The settings of a cluster's recoveries, which are recorded for a run. */
  optionsFor(run: RecoveredRun): RecoveryOptions {
    return {
      policy: this.#policy,
      budget: this.#budget,
      onLost: ({ place, ...lost }) => {
        if (this.#lost.length === 0) this.#noticed = performance.now();
        this.#lost.push(...lost.workers);
        const { epoch, step } = lost.during === "training" && place ? place : placeOf(run);
        run.events.emit({ type: "workersLost", ...lost, epoch, step });
      },
      onRecovered: ({ steps, exchangeFailure, ...recovered }) => {
        const { epoch, step } = placeOf(run);
        this.#record(run, { ...recovered, epoch, step: steps ?? step }, exchangeFailure);
      },
    };
  }

  /** True between the loss of all workers and the return to a checkpoint. */
  get areAllLost(): boolean {
    return this.#gone !== undefined;
  }

  /** Notes that all workers are lost, perhaps once more before the run goes on. */
  allLost(): void {
    const { workers, noticed } = this.#gone ?? { workers: [], noticed: this.#noticed };
    this.#gone = { workers: [...workers, ...this.#lost], noticed };
    this.#lost = [];
  }

  /**
   * Records that a run, all of whose workers were lost, goes on from its last checkpoint, if that is so: called when the
   * new workers have its state.
   */
  cameBack(run: RecoveredRun, workers: number): void {
    const gone = this.#gone;
    if (!gone) return;
    this.#gone = undefined;
    this.#lost = [...gone.workers];
    this.#record(run, {
      ...placeOf(run),
      ...{ generation: 0, policy: "checkpoint", workers, restarts: this.#budget.taken },
      ranks: [...new Set(gone.workers.map(({ rank }) => rank))].sort((a, b) => a - b),
      seconds: (performance.now() - gone.noticed) / 1000,
    });
  }

  #record(
    { events, history }: RecoveredRun,
    recovery: Omit<RunEvent & { readonly type: "recovery" }, "type" | "reasons">,
    exchangeFailure?: string,
  ): void {
    const lost = this.#lost;
    this.#lost = [];
    const reasonOf = (rank: number) =>
      lost.findLast((worker) => worker.rank === rank)?.reason ?? "The reason isn't known";
    const reasons = exchangeFailure === undefined
      ? recovery.ranks.map(reasonOf)
      : [exchangeFailure];
    const event = { type: "recovery", ...recovery, reasons: reasons.map(maskSecrets) } as const;
    // A run that starts over has a new history, and what its losses have cost is still spent.
    this.#records = [...history.recoveries ?? this.#records, recoveryRecord(event)];
    history.recoveries = this.#records;
    events.emit(event);
  }
}

function placeOf({ position: { epoch, stepsDone } }: RecoveredRun) {
  return { epoch, step: stepsDone };
}
