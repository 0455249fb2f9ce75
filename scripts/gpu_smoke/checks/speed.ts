/**
 * Measures training steps: images per second of resnet18, beside PyTorch's if that was measured.
 *
 * @module
 */
import { formatRate } from "../../../src/base/format.ts";
import { benchStep } from "../../../src/bench/step_bench.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { openSmokeEngine } from "../engine.ts";
import { readOutcome } from "../run_checks.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "speed",
  title: "images per second of a training step",
  limitSeconds: 60,
  cards: "first",
  needsGpu: false,
  run,
};

/** The result, as other checks read it. */
export interface SpeedDetails {
  readonly imagesPerSecond: number;
}

/** Returns the step that is measured, the same in PyTorch. */
export function measuredStep({ size }: Pick<CheckContext, "size">) {
  return size === "full"
    ? { model: "resnet18" as const, imageSize: 224, batch: 64, steps: 20, warmup: 5 }
    : { model: "resnet18" as const, imageSize: 32, batch: 4, steps: 2, warmup: 1 };
}

/** The loss of the first steps on 10 classes is about ln 10 ≈ 2.3; one beyond this was not computed. */
const MAX_LOSS = 10;
const MIN_LOSS = 0.01;

/** Tells whether a loss of the first steps was computed. */
export function isComputedLoss(loss: number): boolean {
  return loss > MIN_LOSS && loss < MAX_LOSS;
}

async function run(context: CheckContext): Promise<Outcome> {
  const losses = await readOutcome(context, { name: "losses" });
  if (losses?.status === "fail") {
    return {
      status: "fail",
      figure: "not measured: the check losses failed, so the steps are wrong",
    };
  }
  await openSmokeEngine(context);
  const step = measuredStep(context);
  const { device } = context;
  const result = await benchStep({ ...step, device, threads: 0, capture: true });
  const { imagesPerSecond, medianMilliseconds, loss } = result;
  const details: SpeedDetails & Record<string, unknown> = { ...step, ...result };
  if (!isComputedLoss(loss)) {
    return { status: "fail", figure: `the steps compute a loss of ${loss}`, details };
  }
  const peer = await readOutcome(context, { name: "pytorch" });
  const peerSpeed = peer?.status === "pass"
    ? (peer.details as SpeedDetails).imagesPerSecond
    : undefined;
  const ratio = peerSpeed === undefined
    ? ""
    : `, ${(imagesPerSecond / peerSpeed).toFixed(2)} times PyTorch's ${formatRate(peerSpeed)}`;
  return {
    status: "pass",
    figure:
      `${formatRate(imagesPerSecond)} (${medianMilliseconds.toFixed(1)} ms a step)${ratio}; ` +
      `${step.model}, ${step.imageSize} px, batch ${step.batch}`,
    details,
  };
}
