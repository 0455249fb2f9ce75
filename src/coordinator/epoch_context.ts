/**
 * A running training and the parts of it that its epochs and validations need.
 *
 * @module
 */
import { anySignal } from "../base/async.ts";
import type { ExchangingCluster } from "../cluster/cluster.ts";
import type { Reporter } from "../events/reporter.ts";
import { lossCure } from "../optim/loss.ts";
import type { EpochDriver } from "./epochs/drive_epoch.ts";
import type { ValidationDriver } from "./epochs/drive_validation.ts";
import { nonFiniteReportOf } from "./epochs/non_finite_origin.ts";
import { nonFiniteStepError } from "./epochs/non_finite_step.ts";
import type { PreparedRun } from "./preparation/prepare.ts";

/** A run, its cluster, and the reporter of its events. */
export interface EpochContext {
  readonly run: PreparedRun;
  readonly cluster: ExchangingCluster;
  readonly reporter: Pick<Reporter, "phase" | "progress">;
}

/** Returns the parts of a run that its epochs need. */
export function epochDriver({ run, cluster, reporter }: EpochContext): EpochDriver {
  return {
    cluster,
    skippedImages: cluster.skipped,
    reporter,
    plan: run.plan,
    nonFinite: async (step, totals, signal) => {
      const ends = anySignal(cluster.lost, signal);
      const report = await nonFiniteReportOf(cluster.skipped.nonFinite, step, totals, ends);
      const { length: workers } = cluster.workers; // fewer than at the start, where some were left out
      const facts = { ...run, config: { ...run.config, workers } };
      return nonFiniteStepError(facts, step, { ...totals, report });
    },
  };
}

/** Returns the parts of a run that its validations need. */
export function validationDriver({ run, cluster, reporter }: EpochContext): ValidationDriver {
  const { config, dataset, plan, metrics } = run;
  return {
    ...{ cluster, reporter, dataset, metrics },
    rowsPerStep: plan.validation.globalBatch / cluster.workers.length,
    purpose: {
      phase: "validate",
      epochs: plan.epochs,
      images: "validation",
      cure: `${lossCure(config.train, "train.schedule")}; this state is not kept as best`,
    },
  };
}
