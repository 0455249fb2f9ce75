/**
 * The randomness of a training step, kept in variables so that a captured step never freezes it.
 *
 * Masks are drawn for the whole global batch from the step's seed, and each rank takes its own rows: so N
 * workers drop the same units as one worker would.
 *
 * @module
 */
import { tf } from "./tf.ts";

interface State {
  /** int32 [2]. */
  readonly seed: tf.Variable;
  /** int32 scalar: this rank's first row in the global batch. */
  readonly rowOffset: tf.Variable;
  globalRows: number;
}

let state: State | undefined;

/**
 * Sets what the random ops of the next step draw from.
 *
 * @param seed Two 32-bit integers, a function of the run's seed and the step
 * @param globalRows Rows of the step's batch over all ranks
 * @param rowOffset Rows of the ranks before this one
 */
export function setStepSeed(
  seed: readonly [number, number],
  globalRows: number,
  rowOffset: number,
) {
  const seedValue = tf.tensor1d([...seed], "int32");
  const offsetValue = tf.scalar(rowOffset, "int32");
  if (state) {
    state.seed.assign(seedValue);
    state.rowOffset.assign(offsetValue);
    state.globalRows = globalRows;
    seedValue.dispose();
    offsetValue.dispose();
  } else {
    state = {
      seed: tf.variable(seedValue, false),
      rowOffset: tf.variable(offsetValue, false),
      globalRows,
    };
    tf.dispose([seedValue, offsetValue]);
  }
}

/** The state that random ops read; a fixed one when no step has set it yet. */
export function randomState(): Readonly<State> {
  if (!state) setStepSeed([0, 0], 0, 0);
  return state!;
}

/** Variables that a captured function must take as arguments. */
export function randomVariables(): tf.Variable[] {
  const { seed, rowOffset } = randomState();
  return [seed, rowOffset];
}

/** Returns the part of the state that shapes a trace: another value needs a trace of its own. */
export function randomTraceKey(): string {
  return String(randomState().globalRows);
}
