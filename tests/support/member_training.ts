/**
 * An epoch of workers that run `member_worker.ts`, and the check of what they have learned.
 *
 * @module
 */
import assert from "node:assert/strict";
import { floatsOf } from "../../src/base/float_range.ts";
import type { Cluster } from "../../src/cluster/cluster.ts";
import { driveSteps, type SteppingCluster } from "../../src/cluster/drive_steps.ts";
import { recovering } from "../../src/cluster/recovering.ts";

/** Program of the workers. */
export const MEMBER_WORKER = new URL("member_worker.ts", import.meta.url);

/** Steps of the epoch. */
const STEPS = 6;

/** The results of an epoch. */
export interface MemberResults {
  /** The vector of each rank. */
  readonly values: readonly Float32Array[];
  /** The steps that were reported, in order. */
  readonly reported: readonly number[];
}

/** Trains an epoch; losses of workers are recovered from as the cluster's options say. */
export async function trainMembers(
  cluster: Cluster & SteppingCluster,
  vectorBytes: number,
  { onStep, signal }: {
    readonly onStep?: (step: number) => void;
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<MemberResults> {
  const floats = vectorBytes / Float32Array.BYTES_PER_ELEMENT;
  const payload = new Uint8Array(Float32Array.from({ length: floats }, (_, at) => at % 5).buffer);
  await recovering(cluster, async () => {
    await cluster.openExchange();
    await cluster.callAll("loadState", null, { payload });
  });
  const reported: number[] = [];
  await driveSteps(cluster, {
    command: "trainEpoch",
    args: (startStep) => ({ epoch: 1, startStep, endStep: STEPS }),
    ...{ epoch: 1, startStep: 0, endStep: STEPS },
  }, {
    decide: () => "continue",
    mayDecideAhead: true,
    onStep: ({ step }) => {
      reported.push(step);
      onStep?.(step);
    },
  }, signal);
  const states = await cluster.callAll("readState", { hold: null });
  return { values: states.map(({ payload }) => floatsOf(payload!)), reported };
}

/** Checks that each step was taken once, and reported once, and that all ranks have the same bits. */
export function requireWhole({ values, reported }: MemberResults): void {
  assert.deepEqual(reported, Array.from({ length: STEPS }, (_, step) => step));
  const [first] = values;
  const sum = STEPS * (STEPS + 1) / 2;
  const wrong = first!.findIndex((value, at) =>
    Math.abs(value - at % 5 - sum * (1 + at % 7)) > 1e-3
  );
  assert.equal(wrong, -1, `value ${wrong} is ${first![wrong]}`);
  for (const other of values) assert.deepEqual(other, first);
}
