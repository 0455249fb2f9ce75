/**
 * Compares the gradients of a training step with the CPU's, parameter by parameter.
 *
 * @module
 */
import { counted } from "../../../src/base/format.ts";
import type { Replica } from "../../../src/train/replica.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { difference, norm, shownError } from "../compare.ts";
import { openSmokeEngine } from "../engine.ts";
import { reference } from "../reference.ts";
import {
  type FloatBatch,
  gradientsOf,
  madeBatch,
  makeReplica,
  perturbations,
  perturbed,
  ROUNDING_FACTOR,
  setWeights,
  weightsOf,
} from "../replica.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "gradients",
  title: "gradients against the CPU",
  limitSeconds: 100,
  cards: "first",
  needsGpu: false,
  isExact: true,
  run,
  reference: compute,
};

const MODELS = ["resnet18", "efficientnet_lite0"] as const;
const LR = 0.01;

/**
 * Limits of the relative error of a parameter's gradient: at least the first, since a single activation that changes its
 * sign makes a difference; at most the second, whatever rounding does on the CPU.
 */
export const GRADIENT_LIMITS = [1e-2, 0.2] as const;
/** Gradients this much smaller than the largest are compared on the scale of that share of the largest. */
const MIN_NORM_SHARE = 1e-4;

type Tensors = Map<string, Float32Array>;

/** Rows and side of the images, and steps before the one that is compared: new networks amplify rounding the most. */
function sizeOf({ size }: CheckContext): { rows: number; side: number; warmUp: number } {
  return size === "full" ? { rows: 16, side: 96, warmUp: 10 } : { rows: 4, side: 64, warmUp: 2 };
}

/** Computes weights and gradients of both networks on the CPU, and what rounding does to the gradients. */
async function compute(context: CheckContext): Promise<Tensors> {
  await openSmokeEngine(context);
  const all: Tensors = new Map();
  const add = (prefix: string, tensors: Tensors) => {
    for (const [name, values] of tensors) all.set(`${prefix}/${name}`, values);
  };
  const { rows, side, warmUp } = sizeOf(context);
  const batch = madeBatch(rows, side);
  for (const model of MODELS) {
    using replica = makeReplica(model, LR);
    for (let step = 1; step <= warmUp; step++) {
      await gradients(replica, batch);
      await replica.step({ rates: [LR], step, squares: 0 });
    }
    const weights = weightsOf(replica);
    const exact = await gradients(replica, batch);
    let rounding = 0;
    for (let variant = 0; variant < perturbations(context); variant++) {
      setWeights(replica, weights);
      const other = await gradients(replica, perturbed(batch, variant));
      rounding = Math.max(rounding, ...gradientErrors(other, exact).values());
    }
    add(`${model}/weights`, weights);
    add(`${model}/gradients`, exact);
    all.set(`${model}/rounding`, Float32Array.of(rounding));
  }
  return all;
}

async function gradients(replica: Replica, batch: FloatBatch): Promise<Tensors> {
  const globalRows = batch.labels.length;
  await replica.forwardBackward(batch, { seed: [1, 2], globalRows, rowOffset: 0 });
  return gradientsOf(replica);
}

async function run(context: CheckContext): Promise<Outcome> {
  const expected = await reference(context, CHECK);
  await openSmokeEngine(context);
  const { rows, side } = sizeOf(context);
  const figures: string[] = [];
  const details: Record<string, unknown> = {};
  let isRight = true;
  for (const model of MODELS) {
    using replica = makeReplica(model, LR);
    setWeights(replica, below(expected, `${model}/weights/`));
    const own = await gradients(replica, madeBatch(rows, side));
    const errors = gradientErrors(own, below(expected, `${model}/gradients/`));
    const [name, worst] = [...errors].reduce((a, b) => b[1] > a[1] ? b : a);
    const limit = gradientLimit(expected.get(`${model}/rounding`)![0]);
    isRight &&= worst <= limit;
    figures.push(
      `${model} ${shownError(worst)} (${name} of ${counted(errors.size, "parameter")}; limit ${
        shownError(limit)
      })`,
    );
    details[model] = { limit, errors: Object.fromEntries(errors) };
  }
  const figure = `largest relative errors: ${figures.join(", ")}`;
  return { status: isRight ? "pass" : "fail", figure, details };
}

/** Returns the limit of relative errors, given that of the CPU by rounding alone. */
export function gradientLimit(rounding: number): number {
  const [least, most] = GRADIENT_LIMITS;
  return Math.min(most, Math.max(least, ROUNDING_FACTOR * rounding));
}

/** Returns the entries whose names begin with a prefix, without it. */
function below(all: ReadonlyMap<string, Float32Array>, prefix: string): Tensors {
  return new Map(
    [...all].filter(([name]) => name.startsWith(prefix))
      .map(([name, values]) => [name.slice(prefix.length), values]),
  );
}

/** Returns the relative error of each parameter's gradient: norm of the difference by norm of the gradient. */
export function gradientErrors(
  got: ReadonlyMap<string, Float32Array>,
  expected: ReadonlyMap<string, Float32Array>,
): Map<string, number> {
  const least = MIN_NORM_SHARE * Math.max(...[...expected.values()].map(norm));
  return new Map(
    [...expected].map(([name, values]) => {
      const own = got.get(name);
      if (!own) throw new Error(`There is no gradient of ${name}`);
      const { rms } = difference(own, values);
      const length = norm(values);
      const error = length < least ? rms * (length || 1) / least : rms;
      return [name, Number.isNaN(error) ? Infinity : error];
    }),
  );
}
