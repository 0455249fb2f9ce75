/**
 * The config of a resumed run: permitted differences from the run so far, described and recorded.
 *
 * @module
 */
import { counted } from "../../base/format.ts";
import { recorded, type RunPoint } from "../../base/step_key.ts";
import {
  type ConfigChange,
  configChanges,
  describeChange,
  refuseChanges,
} from "../../config/changes.ts";
import type { Config } from "../../config/schema.ts";
import type { History } from "../../records/history.ts";
import { LearningRates } from "../../optim/learning_rates.ts";
import { readCheckpointInfo } from "../../checkpoint/checkpoint.ts";

/** Result of {@linkcode checkResumedConfig}. */
export interface ResumedConfig {
  /** The config of the run so far; `undefined` if its checkpoint holds none (version 2). */
  readonly before?: Config;
  readonly changes: readonly ConfigChange[];
  /** Epoch of the checkpoint's position, counted from 1. */
  readonly epoch: number;
}

/**
 * Compares a config with that of a run's checkpoint. Reads no tensors.
 *
 * @param path The checkpoint
 * @param overridden Keys that may differ, see `--override`
 * @throws {UsageError} when another key differs, or the checkpoint can't be used
 */
export async function checkResumedConfig(
  path: string,
  config: Config,
  overridden: readonly string[] = [],
): Promise<ResumedConfig> {
  const { config: before, epoch } = await readCheckpointInfo(path);
  if (!before) return { changes: [], epoch };
  const changes = configChanges(before, config);
  refuseChanges(changes, before, config, { overridden, where: path });
  return { before: before as Config, changes, epoch };
}

/** Describes the differences between a resumed run and a run that had the new config from the start. */
export function resumeNotes(
  { before, changes, epoch }: ResumedConfig,
  config: Config,
  stepsPerEpoch: number,
): string[] {
  if (!before) {
    return [
      "The checkpoint is of version 2, which keeps no config: it isn't compared with config.yaml",
    ];
  }
  const notes = changes.map((change) => `Changed at resume: ${describeChange(change)}`);
  if (before.workers !== config.workers) {
    notes.push(
      `${
        counted(config.workers, "worker")
      } in the place of ${before.workers}: the global batch is the same, but sums are made in ` +
        "another order, so the last bits may differ from a run with as many workers throughout",
    );
  }
  const [was, is] = [before, config].map(({ train }) => train.epochs);
  if (was === is) return notes;
  const other = lastOtherRate(before, config, { epoch, stepsPerEpoch });
  notes.push(
    other === 0
      ? `${is} epochs in the place of ${was}: the learning rates so far are those of a run of ${is} epochs`
      : `${is} epochs in the place of ${was}: train.schedule (${config.train.schedule.name}) depends on the number of ` +
        `epochs, so learning rates up to epoch ${other} were others than in a run of ${is} epochs`,
  );
  const { ema } = config.train;
  if (ema && "rule" in ema && ema.rule === "torchvision") {
    notes.push("The decay of train.ema depends on the number of epochs, too");
  }
  return notes;
}

/** The last started epoch whose learning rate differs between two configs of a run; 0 if there is none. */
function lastOtherRate(
  before: Config,
  config: Config,
  { epoch, stepsPerEpoch }: { epoch: number; stepsPerEpoch: number },
): number {
  const [was, is] = [before, config].map(({ train }) => new LearningRates(train, stepsPerEpoch));
  for (let each = epoch; each >= 1; each--) {
    for (const step of [0, stepsPerEpoch - 1]) {
      if (was.at({ epoch: each, step }) !== is.at({ epoch: each, step })) return each;
    }
  }
  return 0;
}

/** Updates a history to a changed config. */
export function recordChanges(
  history: History,
  { changes }: ResumedConfig,
  config: Config,
  point: RunPoint,
): void {
  history.config = config;
  history.workers = config.workers;
  if (changes.length === 0) return;
  history.changes = [
    ...(history.changes ?? []),
    ...changes.map((change) => ({ ...recorded(point), ...change })),
  ];
}
