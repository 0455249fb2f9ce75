/**
 * Trains on all cards by NCCL, which each run tries with known values at its start, and compares with shared memory.
 *
 * @module
 */
import { join } from "node:path";
import { messageOf } from "../../../src/base/errors.ts";
import { formatLoss } from "../../../src/base/format.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import {
  checkedDevices,
  clusterObstacle,
  differenceProblem,
  learningProblem,
  trainTogether,
  writeImages,
} from "../cluster.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "nccl-steps",
  title: "that NCCL over all cards trains as shared memory does",
  limitSeconds: 100,
  cards: "all",
  needsGpu: true,
  isExact: true,
  run,
};

async function run(context: CheckContext): Promise<Outcome> {
  const cards = context.gpus.length;
  if (cards < 2) return { status: "skip", figure: "NCCL sums over cards, and there is one" };
  const obstacle = await clusterObstacle();
  if (obstacle) return obstacle;
  const root = join(context.folder, "nccl-steps-images");
  await writeImages(root);
  const devices = await checkedDevices(context, cards);
  const steps = context.size === "full" ? 20 : 4;
  let summed;
  try {
    summed = await trainTogether(context, root, { devices, exchange: "nccl" }, steps);
  } catch (error) {
    return { status: "fail", figure: `over ${cards} cards: ${messageOf(error)}` };
  }
  const known = `${cards} cards sum known values`;
  const shared = await trainTogether(context, root, { devices, exchange: "shared-memory" }, steps);
  const details = { steps, nccl: summed, sharedMemory: shared };
  const problem = learningProblem(shared.loss) ?? differenceProblem(summed.loss, shared.loss);
  if (problem !== undefined) return { status: "fail", figure: `${known}, but ${problem}`, details };
  return {
    status: "pass",
    figure: `${known}; after ${steps} steps the loss is ${
      formatLoss(summed.loss!)
    }, as through shared memory`,
    details,
  };
}
