/**
 * Named points at which a test lets a worker process die, as if its machine had killed it.
 *
 * The variable `LOCKSTEP_FAULT_POINT` names one: `name`, `name:rank`, `name:rank:step` or `name:rank:step:epoch`, with the
 * number of the step in its epoch, and `*` for any; or several, with commas between. The process ends by SIGKILL when it
 * comes to the point for the first time; one that is started in its place has no point. Without the variable a point costs
 * one comparison.
 *
 * @module
 */
import { UsageError } from "./errors.ts";

/** The points, in the order of a step. */
export const FAULT_POINTS = [
  /** The gradients are computed, and the vector is written in part. */
  "gradients",
  /** A short vector is half copied into its slot. */
  "slot",
  /** The record of the step is half written. */
  "record",
  /** The sum is made in part. */
  "between-chunks",
  /** The sum is made, and the other ranks don't know it. */
  "after-sum",
  /** The step is decided, and the update hasn't begun. */
  "sum-to-update",
  /** The next version of the parameters is made, that of their averages isn't. */
  "update",
  /** The update is made, and the other ranks don't know it. */
  "before-commit",
  /** The step is committed. */
  "after-commit",
  /** A batch of a validation is scored; its number counts as the step. */
  "validation",
  /** The state is asked for, for a checkpoint or for a rank that is replaced. */
  "read-state",
  /** A state has come, and is not taken over yet. */
  "load-state",
  /** A step begins: the process doesn't end, but a bit of its parameters changes. */
  "flip-bit",
] as const;

/** Name of a point. */
export type FaultPoint = (typeof FAULT_POINTS)[number];

/** The variable of the environment. */
export const FAULT_VARIABLE = "LOCKSTEP_FAULT_POINT";

const SIGKILL = 9;

interface ArmedPoint {
  readonly point: FaultPoint;
  readonly step: number | undefined;
  readonly epoch: number | undefined;
}

let armed: readonly ArmedPoint[] | undefined;
let currentStep: number | undefined;
let currentEpoch: number | undefined;

/**
 * Arms the point that the environment names for this rank, if it names one.
 *
 * @param text Value of the variable
 * @throws {UsageError} when it is malformed: a worker started anew would read the same
 */
export function armFaultPoint(text: string | undefined, rank: number): void {
  const points = text ? text.split(",").map(parsePoint) : [];
  const own = points.filter(({ rank: ofRank }) => ofRank === undefined || ofRank === rank);
  armed = own.length > 0 ? own : undefined;
}

function parsePoint(text: string): ArmedPoint & { readonly rank: number | undefined } {
  const [name, ...numbers] = text.split(":");
  const [rank, step, epoch] = numbers.map((text) => text === "*" ? undefined : Number(text));
  const point = FAULT_POINTS.find((known) => known === name);
  if (!point || numbers.length > 3 || numbers.some((number) => !/^(\d+|\*)$/.test(number))) {
    throw new UsageError(
      `${FAULT_VARIABLE} is ${text}: give name, name:rank, name:rank:step or name:rank:step:epoch with one of ${
        FAULT_POINTS.join(", ")
      }`,
    );
  }
  return { point, rank, step, epoch };
}

/** Notes the step that this process is in, by its number in its epoch. */
export function enterFaultStep(step: number): void {
  currentStep = step;
}

/** Notes the epoch that this process is in. */
export function enterFaultEpoch(epoch: number): void {
  currentEpoch = epoch;
}

/** Tells whether this process is to end at a point, for code that makes a state for it. */
export function isFaultPoint(point: FaultPoint): boolean {
  return armed !== undefined &&
    armed.some((each) =>
      each.point === point && [undefined, currentStep].includes(each.step) &&
      [undefined, currentEpoch].includes(each.epoch)
    );
}

/** Tells whether this process is at a point at which it is to be damaged, once for each point. */
export function takeFaultPoint(point: FaultPoint): boolean {
  if (armed === undefined || !isFaultPoint(point)) return false;
  armed = armed.filter((each) => each.point !== point);
  return true;
}

/** Ends this process here if it is to end here. */
export function faultPoint(point: FaultPoint): void {
  if (armed !== undefined && isFaultPoint(point)) killSelf();
}

/** Ends this process by SIGKILL, through the C library: a worker may start or signal no process. */
function killSelf(): never {
  const libc = Deno.dlopen("libc.so.6", {
    getpid: { parameters: [], result: "i32" },
    kill: { parameters: ["i32", /* pid */ "i32" /* signal */], result: "i32" },
  });
  for (;;) libc.symbols.kill(libc.symbols.getpid(), SIGKILL);
}
