/**
 * The files that are written at the start of a run.
 *
 * @module
 */
import { join } from "node:path";
import { stringify } from "../deps/yaml.ts";
import { deviceName } from "../base/compute_device.ts";
import { writeFileAtomically } from "../base/paths.ts";
import { LOCKSTEP_VERSION } from "../base/versions.ts";
import type { Config } from "../config/schema.ts";
import { FILE_RECORD, writeFileRecord } from "../data/datasets/file_record.ts";
import { readBatch } from "../preview/images.ts";
import { describeEnvironment, ENVIRONMENT_FILE, writeEnvironment } from "../records/environment.ts";
import { workerThreads } from "../engine/threads.ts";
import { pictureIn } from "./record_epoch.ts";
import type { RunParts } from "./run_context.ts";
import { saveLast, startPosition } from "./state/run_state.ts";

/** Writes `config.yaml`, without which a run can't be resumed. */
export async function writeConfig(folder: string, config: Config): Promise<void> {
  const header =
    `# The config of this run with every default filled in (Lockstep ${LOCKSTEP_VERSION}).\n`;
  await writeFileAtomically(join(folder, "config.yaml"), header + stringify(config));
}

/** Writes the files that precede the first step. The checkpoint comes last, since it marks the run as begun. */
export async function writeStart(
  { folder, run, history, record, events, effort }: RunParts,
): Promise<void> {
  const { config, engine, devices } = run;
  const environment = await describeEnvironment({
    workers: config.workers,
    threadsPerWorker: workerThreads(config.engine.threadsPerWorker, config.workers),
    devices: devices.some(({ kind }) => kind === "gpu")
      ? devices.map(deviceName)
      : engine.devices.map(({ name }) => name.replace(/^.*device:/, "")),
    tensorflow: engine.tensorflowVersion,
  });
  await effort.attempt(ENVIRONMENT_FILE, () => writeEnvironment(folder, environment));
  const drawBatch = await readBatch(run, 1);
  await effort.attempt("batch.png", () => drawBatch(folder));
  events.emit({ type: "picture", name: "batch", step: 0, draw: pictureIn(folder, "batch") });
  await events.settled();
  const { root, files } = run.dataset;
  const { fileHashes } = config.data;
  if (files) {
    await effort.attempt(FILE_RECORD, () => writeFileRecord(folder, root, files, fileHashes));
  }
  await record.save(history);
  await saveLast(folder, run, { position: startPosition(), history });
}
