/**
 * The records of a resumed run: updates them to its changed config and images, and completes those of a killed
 * session.
 *
 * @module
 */
import { join } from "node:path";
import { counted } from "../base/format.ts";
import { keepsTypedPaths } from "../config/load.ts";
import { FILE_RECORD, type FileChanges, writeFileRecord } from "../data/datasets/file_record.ts";
import { earlyStopReason } from "../metrics/monitor.ts";
import { EVENTS_FILE, readEvents, standingEvents } from "../records/event_log.ts";
import { recordChanges, type ResumedConfig, resumeNotes } from "./state/resumed_config.ts";
import { describeFileChanges, hasOtherImages } from "./state/resumed_data.ts";
import type { RunParts } from "./run_context.ts";
import { writeConfig } from "./run_files.ts";
import type { RestoredRun } from "./state/run_origin.ts";
import { type Position, saveLast } from "./state/run_state.ts";

/** Updates config, images and records of a resumed run. */
export async function followRestored(
  parts: RunParts,
  { images, changed, resumed: { position, place } }: RestoredRun,
): Promise<void> {
  if (images) await followImages(parts, images, place);
  else await recordImages(parts);
  await followChanges(parts, changed, { position, place });
}

/** Records the images of a run that has no record of them. */
async function recordImages(
  { run: { dataset: { root, files }, config }, events, folder }: RunParts,
): Promise<void> {
  if (!files) return;
  events.warn(
    `The run has no ${FILE_RECORD}, so its images are compared by name, class and size alone; it has one from now on`,
  );
  await writeFileRecord(folder, root, files, config.data.fileHashes);
}

/** Records the images with which a resumed run continues. */
async function followImages(
  { run, events, folder, history }: RunParts,
  changes: FileChanges,
  position: Position,
): Promise<void> {
  const { root, files } = run.dataset;
  const isOther = hasOtherImages(changes);
  if (isOther) {
    const message =
      `The run goes on with other images, as was accepted: ${
        describeFileChanges(changes)
      }. In an epoch that was ` +
      "begun before, some may be seen twice or not at all";
    events.emit({ type: "warning", message, kept: false });
    await saveLast(folder, run, { position, history }, { keepPrevious: false });
  }
  const { touched, otherTime } = changes;
  if (otherTime > 0) {
    events.info(
      `${
        counted(otherTime, "image")
      } of the same path and size have another time of change than before: their ` +
        "contents were not compared, which takes data.fileHashes: all from the start of a run",
    );
  }
  if (!files || !isOther && touched + otherTime === 0) return;
  await writeFileRecord(folder, root, files, run.config.data.fileHashes);
}

/** Updates checkpoint, `config.yaml` and history of a resumed run to its changed config. */
async function followChanges(
  { run, events, folder, history, record }: RunParts,
  changed: ResumedConfig,
  { position, place }: { position: Position; place: Position },
): Promise<void> {
  const { config, plan } = run;
  for (const note of resumeNotes(changed, config, plan.stepsPerEpoch)) events.info(note);
  recordChanges(history, changed, config, position);
  if (changed.changes.length === 0) {
    // From here on, checkpoints have absolute paths, so that the next resume may start in any folder.
    if (await keepsTypedPaths(join(folder, "config.yaml"))) await writeConfig(folder, config);
    return;
  }
  await saveLast(folder, run, { position: place, history }, { keepPrevious: false });
  await writeConfig(folder, config);
  await record.save(history);
}

/** Completes the work after the last epoch, which a killed run may not have finished. */
export async function catchUp(
  { run: { config }, folder, history, record, events, effort }: RunParts,
  { isOver }: RestoredRun["resumed"],
): Promise<void> {
  const { earlyStopping, epochs } = config.train;
  const last = history.epochs.at(-1);
  if (isOver && last && last.epoch < epochs) {
    const reason = earlyStopping && earlyStopReason(earlyStopping, history.epochs);
    const step = history.validations.at(-1)?.step ?? 0;
    if (reason) history.stopped = { epoch: last.epoch, step, reason };
  }
  await record.save(history);
  if (!last) return;
  const lines = await effort.attempt(EVENTS_FILE, () => readEvents(folder));
  if (!lines) return;
  const known = standingEvents(lines);
  const logged = new Set(known.map(({ type, epoch }) => `${type} ${epoch}`));
  for (const each of history.epochs) {
    if (!logged.has(`epoch ${each.epoch}`)) {
      events.emit({ type: "recovered", event: { type: "epoch", record: each } });
    }
  }
  const { stopped } = history;
  if (stopped && !logged.has(`stopped ${stopped.epoch}`)) {
    events.emit({ type: "recovered", event: { type: "stopped", ...stopped } });
  }
}
