import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { makeSgdSlots, sgdStep } from "../../src/optim/sgd.ts";
import { assertWithin } from "../models/fixture_model.ts";

await openEngine();

interface Fixture {
  start: number[];
  gradients: number[][];
  cases: {
    name: string;
    lr: number;
    momentum: number;
    dampening: number;
    weightDecay: number;
    nesterov: boolean;
    trajectory: number[][];
  }[];
}

const fixture: Fixture = JSON.parse(
  await Deno.readTextFile(new URL("../fixtures/optim/sgd.json", import.meta.url)),
);

for (const { name, trajectory, lr, ...config } of fixture.cases) {
  Deno.test(`sgdStep() follows torch.optim.SGD for 20 steps, ${name}`, () => {
    tf.tidy(() => {
      const parameter = tf.variable(tf.tensor1d(fixture.start)) as unknown as tf.Variable;
      const slots = makeSgdSlots([parameter]);
      fixture.gradients.forEach((gradient, step) => {
        const undampened = step === 0 ? 1 : 1 - config.dampening;
        sgdStep(slots, [tf.tensor1d(gradient)], tf.scalar(lr), tf.scalar(undampened), config);
        const values = parameter.arraySync() as unknown as number[];
        assertWithin(values, trajectory[step], 1e-5, `parameter after step ${step}`);
      });
    });
  });
}
