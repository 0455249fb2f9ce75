/**
 * Trains twice with deterministic kernels, and compares the bits.
 *
 * @module
 */
import { openEngine } from "../../../src/engine/engine.ts";
import { formatLoss } from "../../../src/base/format.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { type FloatBatch, madeBatch, makeReplica, trainSteps } from "../replica.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "repeat",
  title: "that captured steps with engine.deterministic give the same bits again",
  limitSeconds: 60,
  cards: "first",
  needsGpu: false,
  run,
};

const LR = 0.00002;

/** The state and the losses of a training. */
interface Trained {
  readonly losses: readonly number[];
  readonly state: Uint8Array;
}

async function run(context: CheckContext): Promise<Outcome> {
  const { device, libraryPath, size } = context;
  await openEngine({ device, libraryPath, verbose: true, deterministic: true });
  const { rows, side, steps } = size === "full"
    ? { rows: 16, side: 96, steps: 10 }
    : { rows: 4, side: 32, steps: 4 };
  const batch = madeBatch(rows, side);
  const [first, second] = [await train(batch, steps), await train(batch, steps)];
  const details = { losses: [first.losses, second.losses] };
  const problem = repeatProblem(first, second);
  return problem === undefined
    ? {
      status: "pass",
      figure:
        `${steps} steps of resnet18 end with the same ${first.state.byteLength} bytes, at a loss of ${
          formatLoss(first.losses.at(-1)!)
        }`,
      details,
    }
    : { status: "fail", figure: problem, details };
}

/** Trains from the seeded weights; two of these trace and compile anew, as two processes do. */
async function train(batch: FloatBatch, steps: number): Promise<Trained> {
  using replica = makeReplica("resnet18", LR);
  const losses = await trainSteps(replica, batch, { lr: LR, steps });
  return { losses, state: await replica.state.exportState() };
}

/** Returns what is wrong with two trainings that should be the same; nothing where they are, and learn. */
export function repeatProblem(first: Trained, second: Trained): string | undefined {
  const [start, end] = [first.losses[0], first.losses.at(-1)!];
  if (!(end < start)) return `the loss doesn't fall: it goes from ${start} to ${end}`;
  const step = first.losses.findIndex((loss, at) => loss !== second.losses[at]);
  if (step >= 0) return `step ${step + 1} has another loss the second time`;
  const differing = first.state.reduce(
    (count, byte, at) => byte === second.state[at] ? count : count + 1,
    0,
  );
  return differing === 0
    ? undefined
    : `${differing} of ${first.state.byteLength} bytes of the state are others the second time`;
}
