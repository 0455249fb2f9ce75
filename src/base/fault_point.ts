/**
 * Named points at which a test lets a worker process die, as if its machine had killed it.
 *
 * The variable `LOCKSTEP_FAULT_POINT` names one: `name`, `name:rank` or `name:rank:step`, with the number of the step in
 * its epoch. The process ends by SIGKILL when it comes to the point for the first time. Without the variable a point
 * costs one comparison.
 *
 * @module
 */
import { LockstepError } from "./errors.ts";

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
] as const;

/** Name of a point. */
export type FaultPoint = (typeof FAULT_POINTS)[number];

/** The variable of the environment. */
export const FAULT_VARIABLE = "LOCKSTEP_FAULT_POINT";

const SIGKILL = 9;

let armed: { readonly point: FaultPoint; readonly step: number | undefined } | undefined;
let currentStep: number | undefined;

/**
 * Arms the point that the environment names for this rank, if it names one.
 *
 * @param text Value of the variable
 * @throws {LockstepError} when it is malformed
 */
export function armFaultPoint(text: string | undefined, rank: number): void {
  armed = undefined;
  if (!text) return;
  const [name, ...numbers] = text.split(":");
  const [ofRank, step] = numbers.map(Number);
  const point = FAULT_POINTS.find((known) => known === name);
  if (!point || numbers.length > 2 || numbers.some((number) => !/^\d+$/.test(number))) {
    throw new LockstepError(
      `${FAULT_VARIABLE} is ${text}: give name, name:rank or name:rank:step with one of ${
        FAULT_POINTS.join(", ")
      }`,
    );
  }
  if (ofRank === undefined || ofRank === rank) armed = { point, step };
}

/** Notes the step that this process is in, by its number in its epoch. */
export function enterFaultStep(step: number): void {
  currentStep = step;
}

/** Tells whether this process is to end at a point, for code that makes a state for it. */
export function isFaultPoint(point: FaultPoint): boolean {
  return armed !== undefined && armed.point === point &&
    (armed.step === undefined || armed.step === currentStep);
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
