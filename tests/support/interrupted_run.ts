/**
 * Runs that are interrupted at a step, as by Ctrl-C.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type ConfigInput, InterruptedError, train, type TrainOptions } from "../../mod.ts";

/** Trains until a step is done and the next one has begun; returns the run's folder. */
export async function trainUntil(
  config: ConfigInput,
  place: { epoch: number; step: number },
  options: TrainOptions = {},
): Promise<string> {
  const controller = new AbortController();
  await assert.rejects(
    train(config, {
      ...options,
      signal: controller.signal,
      onStep: ({ epoch, step }) => {
        if (epoch !== place.epoch || step !== place.step) return;
        controller.abort(new InterruptedError("Interrupted by SIGINT", "SIGINT"));
      },
    }),
    InterruptedError,
  );
  return await Deno.realPath(join(config.out!, "latest"));
}
