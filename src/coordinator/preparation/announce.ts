/**
 * The first lines of a run: what is about to be trained.
 *
 * @module
 */
import { type ComputeGpu, describeDevices } from "../../base/compute_device.ts";
import { counted, groupThousands } from "../../base/format.ts";
import { listed } from "../../base/listing.ts";
import { LOCKSTEP_VERSION } from "../../base/versions.ts";
import { describeShares } from "../../config/shares.ts";
import type { Reporter } from "../../events/reporter.ts";
import { workerThreads } from "../../engine/threads.ts";
import { describeMicroBatches } from "./micro_batches_note.ts";
import type { PreparedRun } from "./prepare.ts";

/** Classes that the first lines of a run list. */
const MAX_NAMES = 50;

/** Such as `rank 0 on GPU 2 (GPU-8f3c…), NUMA node 1`. */
function describeGpuOfRank({ index, uuid, numa }: ComputeGpu, rank: number): string {
  return `rank ${rank} on GPU ${index} (${uuid})${numa ? `, NUMA node ${numa.node}` : ""}`;
}

/** Reports what is about to be trained. */
export function announce(
  { config, engine, layout, devices, dataset, plan, replica }: PreparedRun,
  reporter: Pick<Reporter, "info" | "warn">,
): void {
  const { workers, model, train } = config;
  const [own = workers] = layout;
  const threads = workerThreads(config.engine.threadsPerWorker, Math.max(own, 1));
  const each = layout.length > 1 ? "" : ` with ${counted(threads, "thread")} each`;
  const hosts = layout.length > 1
    ? ` over ${layout.length} hosts (${layout.join(" + ")})`
    : `, on ${describeDevices(devices)}`;
  reporter.info(
    `Lockstep ${LOCKSTEP_VERSION}, TensorFlow ${engine.tensorflowVersion}: ` +
      `${counted(workers, "worker")}${each}${hosts}`,
  );
  const gpus = devices.flatMap((device) => device.kind === "gpu" ? [device] : []);
  if (gpus.length > 0) reporter.info(`GPUs: ${gpus.map(describeGpuOfRank).join("; ")}`);
  reporter.info(
    `Data: ${counted(dataset.train.length, "training image")}, ` +
      `${dataset.val.length} for validation, ${dataset.classes.length} classes ` +
      `(${listed(dataset.classes, { max: MAX_NAMES })})`,
  );
  const shares = describeShares(config);
  if (shares?.isWarning) reporter.warn(shares.text);
  else if (shares) reporter.info(shares.text);
  const micro = describeMicroBatches(config, plan.globalBatch, replica.model);
  if (micro) reporter.info(micro);
  const { trainable } = replica.state;
  const learned = trainable.reduce((sum, { variable }) => sum + variable.size, 0);
  const names = trainable.map(({ name, torchShape }) => `  ${name} [${torchShape.join(", ")}]`);
  reporter.info(
    `Model: ${model.name}${
      model.module ? ` (${model.module})` : ""
    }, ${train.optimizer} with learning rate ${train.lr}; ` +
      `${counted(trainable.length, "parameter")} to learn (${groupThousands(learned)} values):`,
  );
  reporter.info(names.join("\n"));
}
