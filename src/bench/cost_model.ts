/**
 * The α–β model of an all-reduce: time = α·f(n) + β·bytes·g(n), with f and g of the algorithm, α in ms per message
 * and β in ms per byte fitted to measured points (Hockney 1994; Thakur et al. 2005 for the ring).
 *
 * @module
 */
import { mean } from "../base/statistics.ts";
import { UsageError } from "../base/errors.ts";

/** A measured all-reduce. */
export interface CostPoint {
  readonly workers: number;
  readonly bytes: number;
  readonly milliseconds: number;
}

/** The growth of an algorithm's cost with the number n of those that take part. */
export interface CostForm {
  readonly name: string;
  /** Messages that follow each other. */
  readonly f: (n: number) => number;
  /** Vectors that pass the narrowest place. */
  readonly g: (n: number) => number;
  /** Messages of a training step over those of a plain all-reduce; as many unless given. */
  readonly stepMessages?: number;
  /** f and g for people. */
  readonly formula: string;
}

/** A form with its constants. */
export interface CostModel {
  readonly form: CostForm;
  /** Milliseconds per message. */
  readonly alpha: number;
  /** Milliseconds per byte. */
  readonly beta: number;
}

/** A point that the fit didn't see. */
export interface HeldOutPoint extends CostPoint {
  readonly predicted: number;
  /** (predicted − measured) / measured. */
  readonly error: number;
}

/** A fitted model and how good it is. */
export interface CostFit extends CostModel {
  /** Points that were fitted. */
  readonly fitted: readonly CostPoint[];
  /** Mean of their errors' sizes. */
  readonly fittedError: number;
  readonly heldOut: readonly HeldOutPoint[];
  /** Mean of the held-out errors' sizes. */
  readonly heldOutError: number;
}

/** n vectors go to the coordinator, one comes back and is handed to all. */
export const STAR: CostForm = {
  name: "star",
  f: (n) => n + 1,
  g: (n) => n + 1,
  formula: "α·(n + 1) + β·bytes·(n + 1)",
};

/** Reduce-scatter and all-gather around a ring. */
export const RING: CostForm = {
  name: "ring",
  f: (n) => 2 * (n - 1),
  g: (n) => 2 * (n - 1) / n,
  formula: "α·2(n − 1) + β·bytes·2(n − 1)/n",
};

/**
 * Ranks that add each its own part of vectors in shared memory: the bytes per rank stay the same, but ranks beyond
 * the cores wait for one another. The coordinator hears each and tells each: twice for a sum, a third time when a
 * training step has made new parameters of it.
 */
export function sharedMemoryForm(cores: number): CostForm {
  return {
    name: "shared-memory",
    f: (n) => n + 1,
    g: (n) => Math.max(1, n / cores),
    stepMessages: 3 / 2,
    formula: `α·(n + 1) + β·bytes·max(1, n / ${cores} cores)`,
  };
}

/**
 * The form of an exchange.
 *
 * @param exchange As `bench allreduce` reports it
 * @throws {UsageError} when nobody wrote down its form
 */
export function formOf(exchange: string, cores: number): CostForm {
  if (exchange === "nats") return STAR;
  if (exchange === "shared-memory") return sharedMemoryForm(cores);
  throw new UsageError(`There is no cost model for the exchange "${exchange}"`);
}

/** Milliseconds of an all-reduce; nothing when there is nobody to exchange with. */
export function costOf({ form, alpha, beta }: CostModel, n: number, bytes: number): number {
  return alpha * form.f(n) + beta * bytes * form.g(n);
}

/** Every third point is held out. */
const HOLD_OUT = 3;

/**
 * Fits α and β, neither below 0, by least squares of the relative errors, to all but each third point.
 *
 * @throws {UsageError} when there are fewer than 4 points
 */
export function fitCost(points: readonly CostPoint[], form: CostForm): CostFit {
  if (points.length < 4) {
    throw new UsageError(
      `${points.length} points are too few to fit and to hold some out: give at least 4, such as with ` +
        "--sizes 1MB..8MB",
    );
  }
  const sorted = points.toSorted((a, b) => a.workers - b.workers || a.bytes - b.bytes);
  const isHeldOut = (_: CostPoint, index: number) => index % HOLD_OUT === 1;
  const fitted = sorted.filter((point, index) => !isHeldOut(point, index));
  const model = { form, ...leastSquares(fitted, form) };
  const errorOf = (point: CostPoint) => {
    const predicted = costOf(model, point.workers, point.bytes);
    return { ...point, predicted, error: predicted / point.milliseconds - 1 };
  };
  const heldOut = sorted.filter(isHeldOut).map(errorOf);
  const size = (of: readonly HeldOutPoint[]) => mean(of.map(({ error }) => Math.abs(error)));
  return {
    ...model,
    fitted,
    fittedError: size(fitted.map(errorOf)),
    heldOut,
    heldOutError: size(heldOut),
  };
}

/** Two unknowns: the normal equations, or the better of the two edges where one would be negative. */
function leastSquares(points: readonly CostPoint[], { f, g }: CostForm) {
  // Each row divided by its time: the sum of (α·a + β·b − 1)².
  const rows = points.map(({ workers, bytes, milliseconds }) => ({
    a: f(workers) / milliseconds,
    b: bytes * g(workers) / milliseconds,
  }));
  const sum = (of: (row: { a: number; b: number }) => number) =>
    rows.reduce((total, row) => total + of(row), 0);
  const [aa, ab, bb] = [sum(({ a }) => a * a), sum(({ a, b }) => a * b), sum(({ b }) => b * b)];
  const [a1, b1] = [sum(({ a }) => a), sum(({ b }) => b)];
  const determinant = aa * bb - ab * ab;
  const candidates = [
    { alpha: (a1 * bb - b1 * ab) / determinant, beta: (b1 * aa - a1 * ab) / determinant },
    { alpha: 0, beta: bb > 0 ? b1 / bb : 0 },
    { alpha: aa > 0 ? a1 / aa : 0, beta: 0 },
  ].filter(({ alpha, beta }) => alpha >= 0 && beta >= 0);
  const loss = ({ alpha, beta }: { alpha: number; beta: number }) =>
    sum(({ a, b }) => (alpha * a + beta * b - 1) ** 2);
  return candidates.reduce((best, next) => loss(next) < loss(best) ? next : best);
}

/** A step on some hosts. */
export interface Prediction {
  readonly hosts: number;
  readonly gpusPerHost: number;
  readonly gpus: number;
  /** Milliseconds of the sum within each host. */
  readonly intraMilliseconds: number;
  /** Milliseconds of the sum between hosts. */
  readonly interMilliseconds: number;
  readonly stepMilliseconds: number;
  /** Share of the step that computes: the speed over that of as many GPUs without exchange. */
  readonly efficiency: number;
}

/**
 * Extrapolates a training step: computing, then the exchange within each host, then one stream per host between them,
 * one after the other.
 *
 * @param compute Milliseconds of a GPU's work per step
 */
export function predictStep(
  { intra, inter, compute, bytes }: {
    intra: CostModel;
    inter: CostModel;
    compute: number;
    bytes: number;
  },
  { hosts, gpusPerHost }: { hosts: number; gpusPerHost: number },
): Prediction {
  const costAmong = ({ form, alpha, beta }: CostModel, n: number) =>
    n > 1 ? costOf({ form, alpha: alpha * (form.stepMessages ?? 1), beta }, n, bytes) : 0;
  const intraMilliseconds = costAmong(intra, gpusPerHost);
  const interMilliseconds = costAmong(inter, hosts);
  const stepMilliseconds = compute + intraMilliseconds + interMilliseconds;
  return {
    ...{ hosts, gpusPerHost, gpus: hosts * gpusPerHost },
    ...{ intraMilliseconds, interMilliseconds, stepMilliseconds },
    efficiency: compute / stepMilliseconds,
  };
}
