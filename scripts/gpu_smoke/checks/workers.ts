/**
 * Trains with two workers on one card, which exchange through shared memory, and compares with one worker.
 *
 * @module
 */
import { join } from "node:path";
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
  name: "workers",
  title: "that two workers on one card, through shared memory, train as one",
  limitSeconds: 90,
  cards: "first",
  needsGpu: false,
  isExact: true,
  run,
};

async function run(context: CheckContext): Promise<Outcome> {
  const obstacle = await clusterObstacle();
  if (obstacle) return obstacle;
  const root = join(context.folder, "workers-images");
  await writeImages(root);
  const [device] = await checkedDevices(context, 1);
  const steps = context.size === "full" ? 20 : 8;
  const exchange = "shared-memory";
  const alone = await trainTogether(context, root, { devices: [device!], exchange }, steps);
  const devices = [device!, device!];
  const together = await trainTogether(context, root, { devices, exchange }, steps);
  const details = { steps, one: alone, two: together };
  const problem = learningProblem(alone.loss) ?? differenceProblem(together.loss, alone.loss);
  if (problem !== undefined) return { status: "fail", figure: problem, details };
  return {
    status: "pass",
    figure: `after ${steps} steps the loss is ${formatLoss(together.loss!)}, as with one worker`,
    details,
  };
}
