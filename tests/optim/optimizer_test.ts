import assert from "node:assert/strict";
import fixture from "../fixtures/optim/trajectories.json" with { type: "json" };
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { WeightAverages } from "../../src/optim/averages.ts";
import {
  type EmaConfig,
  optimizerConfig,
  type OptimizerName,
  scheduleSchema,
} from "../../src/optim/config.ts";
import { type NamedVariable, Optimizer } from "../../src/optim/optimizer.ts";
import { learningRateAt } from "../../src/optim/schedule.ts";
import { assertWithin } from "../models/fixture_model.ts";

await openEngine();

interface Case {
  name: string;
  optimizer: string;
  settings: { lr: number; weight_decay?: number };
  clipGradNorm?: number;
  clipGradValue?: number;
  group?: { lr: number; weight_decay?: number };
  schedule?: boolean;
  ema?: EmaConfig;
  trajectory: number[][];
}

const { start, gradients, cases } = fixture.content;
const TOLERANCE = 1e-5;

function makeParameters(): NamedVariable[] {
  return Object.entries(start).map(([name, values]) => ({
    name,
    variable: tf.variable(tf.tensor1d(values)) as unknown as tf.Variable,
  }));
}

for (const entry of cases as Case[]) {
  Deno.test(`Optimizer follows PyTorch's ${entry.optimizer} for 50 steps, ${entry.name}`, () => {
    const { settings: { lr, weight_decay, ...settings }, group, clipGradNorm, clipGradValue } =
      entry;
    const parameters = makeParameters();
    const variables = parameters.map(({ variable }) => variable);
    using optimizer = new Optimizer(parameters, {
      settings: optimizerConfig({
        optimizer: entry.optimizer as OptimizerName,
        ...settings,
        weightDecay: weight_decay,
      }),
      lr,
      groups: group ? [{ match: ["head.*"], lr: group.lr, weightDecay: group.weight_decay }] : [],
      clipGradNorm,
      clipGradValue,
    });
    using averages = entry.ema ? new WeightAverages(variables, entry.ema) : undefined;
    const schedule = scheduleSchema.parse(
      entry.schedule
        ? {
          name: "CosineAnnealingLR",
          etaMin: 0.01,
          per: "step",
          warmup: { length: 10, startFactor: 0.1 },
        }
        : { name: "constant" },
    );
    entry.trajectory.forEach((expected, step) => {
      const actual = tf.tidy(() => {
        const rates = optimizer.baseRates.map((rate) =>
          learningRateAt(schedule, rate, { epoch: 1, step }, { epochs: 1, stepsPerEpoch: 50 })
        );
        const scalars = optimizer.scalars(rates, step + 1).map((value) => tf.scalar(value));
        const grads = parameters.map(({ name }) =>
          tf.tensor1d(gradients[name as keyof typeof gradients][step])
        );
        optimizer.update(grads, scalars);
        averages?.update(tf.scalar(averages.keptShare(step + 1)));
        return (averages?.averages ?? variables).flatMap((tensor) => [...tensor.dataSync()]);
      });
      assertWithin(actual, expected, TOLERANCE, `parameters after step ${step + 1}`);
    });
    tf.dispose(variables);
  });
}

Deno.test("Optimizer refuses groups that match nothing, and says what learns", () => {
  const parameters = makeParameters();
  const make = (...match: string[]) =>
    new Optimizer(parameters, {
      settings: optimizerConfig({ optimizer: "sgd" }),
      lr: 0.1,
      groups: match.map((pattern) => ({ match: [pattern] })),
    });
  assert.throws(
    () => make("fc.*"),
    /train\.groups\[0\] has the pattern "fc\.\*", which matches no parameter that learns.*body\.weight, head\.weight/,
  );
  assert.throws(
    () => make("head.*", "*.weight", "body.*"),
    /train\.groups\[2\] takes no parameter that an earlier group has left/,
  );
});

Deno.test("WeightAverages.swap() exchanges values, and twice leaves all as it was", () => {
  const [{ variable }] = makeParameters();
  using averages = new WeightAverages([variable], { decay: 0.5, everySteps: 1 });
  const before = [...variable.dataSync()];
  const five = tf.fill(variable.shape, 5);
  variable.assign(five);
  averages.swap();
  assert.deepEqual([...variable.dataSync()], before);
  averages.swap();
  assert.deepEqual([...variable.dataSync()], [5, 5, 5, 5, 5]);
  assert.deepEqual([...averages.averages[0].dataSync()], before);
});
