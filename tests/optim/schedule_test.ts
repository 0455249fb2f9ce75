import assert from "node:assert/strict";
import { scheduleSchema } from "../../src/optim/config.ts";
import { checkSchedule, learningRateAt } from "../../src/optim/schedule.ts";
import * as schedules from "../../src/optim/schedules.ts";
import { readCases } from "./fixtures.ts";

interface Case {
  schedule: Record<string, unknown>;
  lr: number;
  rates: number[];
}

for (const name of Object.keys(schedules)) {
  Deno.test(`learningRateAt() gives PyTorch's rates of ${name}, per epoch and per step`, async () => {
    for (const { schedule, lr, rates } of await readCases<Case>("schedules", name)) {
      for (const per of ["epoch", "step"] as const) {
        const config = scheduleSchema.parse({ name, ...schedule, per });
        rates.forEach((expected, time) => {
          const [place, length] = per === "epoch"
            ? [{ epoch: time + 1, step: 3 }, { epochs: 20, stepsPerEpoch: 7 }]
            : [
              { epoch: Math.floor(time / 5) + 1, step: time % 5 },
              { epochs: 4, stepsPerEpoch: 5 },
            ];
          const rate = learningRateAt(config, lr, place, length);
          assert.ok(
            Math.abs(rate - expected) < 1e-9,
            `${JSON.stringify(config)} at ${time}: ${rate}, expected ${expected}`,
          );
        });
      }
    }
  });
}

Deno.test("readCases() says how a missing fixture is made", async () => {
  await assert.rejects(
    () => readCases("schedules", "CyclicLR"),
    /no fixture tests\/fixtures\/optim\/schedules\/CyclicLR\.json: make it with "python scripts\/make_optim_fixtures\.py schedule CyclicLR /,
  );
  await assert.rejects(() => readCases("optimizers", "rprop"), /optimizer rprop '\{"lr": 0\.01\}'/);
});

Deno.test("checkSchedule() refuses what lies past the end of the run", () => {
  const length = { epochs: 10, stepsPerEpoch: 5 };
  const check = (input: unknown) => checkSchedule(scheduleSchema.parse(input), length);
  const steps = { name: "MultiStepLR", milestones: [3, 9] };
  check(steps);
  check({ ...steps, milestones: [30, 49], per: "step" });
  assert.throws(
    () => check({ ...steps, milestones: [3, 10] }),
    /train\.schedule\.milestones: 10 would decay the rate past the end of the run, which has 10 epochs/,
  );
  assert.throws(() => check({ ...steps, warmup: { length: 1 } }), /9 \(after 1 of warm-up\)/);
  assert.throws(
    () => check({ name: "constant", warmup: { length: 50 }, per: "step" }),
    /warmup\.length is 50, but the run has 50 steps/,
  );
});
