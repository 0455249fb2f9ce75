/**
 * Measures how much longer the first step of a network takes than that of its twin: the time in which the driver
 * compiles or loads kernels. A second smoke test finds the compiled kernels in the driver's cache.
 *
 * @module
 */
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { openSmokeEngine } from "../engine.ts";
import { madeBatch, makeReplica } from "../replica.ts";

/** The check. Its limit is that of a card that all kernels are compiled for; no other check waits for that. */
export const CHECK: SmokeCheck = {
  name: "compilation",
  title: "how long the first compilation takes",
  limitSeconds: 2700,
  cards: "first",
  needsGpu: true,
  run,
};

const MODELS = ["resnet18", "efficientnet_lite0"] as const;
const SECONDS = 1000;

async function run(context: CheckContext): Promise<Outcome> {
  const start = performance.now();
  await openSmokeEngine(context);
  const times: Record<string, number> = { engine: since(start) };
  for (const name of MODELS) {
    for (const step of ["first", "second"]) {
      const begin = performance.now();
      using replica = makeReplica(name, 0.01);
      await replica.forwardBackward(madeBatch(8, 96), {
        seed: [0, 0],
        globalRows: 8,
        rowOffset: 0,
      });
      times[`${name} ${step}`] = since(begin);
    }
  }
  const compiling = MODELS.reduce(
    (sum, name) => sum + times[`${name} first`]! - times[`${name} second`]!,
    0,
  );
  return {
    status: "pass",
    figure: `engine ${times.engine!.toFixed(1)} s, compilation ${compiling.toFixed(1)} s`,
    details: times,
  };
}

function since(start: number): number {
  return (performance.now() - start) / SECONDS;
}
