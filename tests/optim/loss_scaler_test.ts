import assert from "node:assert/strict";
import fixture from "../fixtures/precision/scaler.json" with { type: "json" };
import { INITIAL_LOSS_SCALE, LossScaler } from "../../src/optim/loss_scaler.ts";

type Step = [scale: number, growthTracker: number, isTaken: number];

interface Run {
  readonly options: {
    readonly init_scale?: number;
    readonly growth_factor?: number;
    readonly backoff_factor?: number;
    readonly growth_interval?: number;
  };
  readonly overflows: number[] | { readonly count: number; readonly at: number[] };
  readonly steps: Step[] | Record<string, Step>;
}

for (const { options, overflows, steps } of fixture.runs as unknown as Run[]) {
  Deno.test(`LossScaler goes through the states of PyTorch's GradScaler, ${JSON.stringify(options)}`, () => {
    const { init_scale: scale = INITIAL_LOSS_SCALE.scale } = options;
    const given = (name: string, value: number | undefined) =>
      value === undefined ? {} : { [name]: value };
    const settings = {
      ...given("growthFactor", options.growth_factor),
      ...given("backoffFactor", options.backoff_factor),
      ...given("growthInterval", options.growth_interval),
    };
    let scaler = new LossScaler({ scale, growthTracker: 0 }, settings);
    const list = Array.isArray(overflows)
      ? overflows
      : Array.from({ length: overflows.count }, (_, step) => overflows.at.includes(step) ? 1 : 0);
    list.forEach((overflow, step) => {
      scaler.update(overflow === 1);
      const expected = (steps as Record<number, Step>)[step];
      if (!expected) return;
      const { scale, growthTracker } = scaler.state;
      assert.deepEqual([scale, growthTracker, 1 - overflow], expected, `step ${step}`);
      // A checkpoint's JSON holds all of it.
      scaler = new LossScaler(JSON.parse(JSON.stringify(scaler.state)), settings);
    });
  });
}

Deno.test("LossScaler begins where GradScaler does", () => {
  assert.deepEqual(new LossScaler().state, { scale: 65536, growthTracker: 0 });
});
