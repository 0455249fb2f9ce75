/**
 * Compares the losses of the first steps of training with the CPU's.
 *
 * @module
 */
import { formatLoss } from "../../../src/base/format.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { shownError } from "../compare.ts";
import { openSmokeEngine } from "../engine.ts";
import { reference } from "../reference.ts";
import {
  madeBatch,
  makeReplica,
  perturbations,
  perturbed,
  ROUNDING_FACTOR,
  setWeights,
  trainSteps,
  weightsOf,
} from "../replica.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "losses",
  title: "the losses of 20 steps against the CPU",
  limitSeconds: 60,
  cards: "first",
  needsGpu: false,
  isExact: true,
  run,
  reference: compute,
};

const LR = 0.00002;
const LOSSES = "losses";
const ROUNDING = "rounding";

/** Limits of the relative differences of the first steps and of the later ones, in which small differences grow. */
const LIMITS = { first: 1e-3, later: 2e-2 };
const FIRST_STEPS = 5;
/** The largest limit, whatever rounding does on the CPU. */
const MAX_LIMIT = 0.1;

function sizeOf({ size }: CheckContext): { rows: number; side: number; steps: number } {
  return size === "full" ? { rows: 8, side: 96, steps: 20 } : { rows: 4, side: 48, steps: 8 };
}

/** Computes losses on the CPU, with the weights with which they begin, and what rounding does to them. */
async function compute(context: CheckContext): Promise<Map<string, Float32Array>> {
  await openSmokeEngine(context);
  const { rows, side, steps } = sizeOf(context);
  const batch = madeBatch(rows, side);
  using replica = makeReplica("resnet18", LR);
  const weights = weightsOf(replica);
  const losses = await trainSteps(replica, batch, { lr: LR, steps });
  const rounding = losses.map(() => 0);
  for (let variant = 0; variant < perturbations(context); variant++) {
    using other = makeReplica("resnet18", LR);
    setWeights(other, weights);
    const errors = lossErrors(
      await trainSteps(other, perturbed(batch, variant), { lr: LR, steps }),
      losses,
    );
    errors.forEach((error, step) => rounding[step] = Math.max(rounding[step], error));
  }
  return new Map([
    ...weights,
    [LOSSES, Float32Array.from(losses)],
    [ROUNDING, Float32Array.from(rounding)],
  ]);
}

async function run(context: CheckContext): Promise<Outcome> {
  const expected = await reference(context, CHECK);
  const wanted = [...expected.get(LOSSES)!];
  const rounding = [...expected.get(ROUNDING)!];
  await openSmokeEngine(context);
  const { rows, side, steps } = sizeOf(context);
  using replica = makeReplica("resnet18", LR);
  setWeights(replica, expected);
  const losses = await trainSteps(replica, madeBatch(rows, side), { lr: LR, steps });
  const details = { losses, cpu: wanted, limits: lossLimits(rounding) };
  const problem = lossProblem(losses, wanted, details.limits);
  if (problem !== undefined) return { status: "fail", figure: problem, details };
  const worst = Math.max(...lossErrors(losses, wanted));
  const [first, last] = [wanted[0], wanted.at(-1)!].map(formatLoss);
  const figure = `from ${first} to ${last} in ${wanted.length} steps, as on the CPU within ${
    shownError(worst)
  }`;
  return { status: "pass", figure, details };
}

/** Returns the relative difference of each loss. */
function lossErrors(losses: readonly number[], wanted: readonly number[]): number[] {
  return wanted.map((loss, step) => {
    const error = Math.abs(losses[step] - loss) / Math.abs(loss);
    return Number.isNaN(error) ? Infinity : error;
  });
}

/** Returns the limit of each step's difference, given that of the CPU by rounding alone. */
export function lossLimits(rounding: readonly number[]): number[] {
  let most = 0;
  return rounding.map((error, step) => {
    most = Math.max(most, error);
    const least = step < FIRST_STEPS ? LIMITS.first : LIMITS.later;
    return Math.min(MAX_LIMIT, Math.max(least, ROUNDING_FACTOR * most));
  });
}

/** Returns what is wrong with losses, in a sentence; nothing when they are the CPU's and fall. */
export function lossProblem(
  losses: readonly number[],
  wanted: readonly number[],
  limits: readonly number[],
): string | undefined {
  const bad = lossErrors(losses, wanted).findIndex((error, step) => !(error <= limits[step]));
  if (bad >= 0) {
    return `step ${bad + 1} has a loss of ${formatLoss(losses[bad])}, on the CPU ${
      formatLoss(wanted[bad])
    }`;
  }
  if (!(losses.at(-1)! < losses[0])) return `the loss doesn't fall in ${losses.length} steps`;
  return undefined;
}
