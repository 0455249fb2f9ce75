import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { tensorFrom } from "../../src/engine/transfer.ts";
import { createModel } from "../../src/models/create_model.ts";
import { optimizerConfig } from "../../src/optim/config.ts";
import { Replica } from "../../src/train/replica.ts";
import type { TensorSummary } from "../support/deterministic_fill.ts";
import {
  assertSummary,
  assertWithin,
  fill,
  type FilledInput,
  inputImages,
  readFixture,
} from "./fixture_model.ts";

await openEngine();

interface Fixture {
  numClasses: number;
  input: FilledInput;
  labels: number[];
  sgd: { lr: number; momentum: number; weightDecay: number; steps: number };
  evalLogits: number[][];
  losses: number[];
  gradients: Record<string, TensorSummary>;
  parametersAfter: Record<string, TensorSummary>;
  buffersAfter: Record<string, TensorSummary>;
}

const fixture = await readFixture<Fixture>("resnet18");
const TOLERANCE = 1e-4;

function makeReplica(capture: boolean): Replica {
  const model = createModel("resnet18", { numClasses: fixture.numClasses });
  const replica = new Replica(model, {
    optimizer: {
      settings: optimizerConfig({ optimizer: "sgd", ...fixture.sgd }),
      lr: fixture.sgd.lr,
    },
    capture,
  });
  fill(model, replica.parameters, "fc");
  return replica;
}

function makeBatch() {
  const [, , height, width] = fixture.input.shape;
  return {
    images: inputImages(fixture.input),
    labels: Int32Array.from(fixture.labels),
    height,
    width,
  };
}

Deno.test("resnet18 gives torchvision's logits in eval mode", () => {
  const replica = makeReplica(false);
  const { images, height, width } = makeBatch();
  const logits = tf.tidy(() => {
    const input = tensorFrom([4, height, width, 3], "float32", new Uint8Array(images.buffer));
    return (replica.model.predict(input) as tf.Tensor2D).arraySync();
  });
  assertWithin(logits.flat(), fixture.evalLogits.flat(), TOLERANCE, "logits");
  replica.dispose();
});

Deno.test("resnet18 has torchvision's parameters, by name, shape and order of size", () => {
  const replica = makeReplica(false);
  const learned = replica.trainable.map(({ name }) => name).sort();
  assert.deepEqual(learned, Object.keys(fixture.gradients).sort());
  const buffers = replica.parameters.filter(({ buffer }) => buffer).map(({ name }) => name).sort();
  assert.deepEqual(buffers, Object.keys(fixture.buffersAfter).sort());
  replica.dispose();
});

for (const capture of [true, false]) {
  const mode = capture ? "captured" : "eager";
  Deno.test(`resnet18 trains as torchvision's does for 3 SGD steps, ${mode}`, async () => {
    const replica = makeReplica(capture);
    const place = { seed: [0, 0], globalRows: 4, rowOffset: 0 } as const;
    for (let step = 0; step < fixture.sgd.steps; step++) {
      const { lossSum } = await replica.forwardBackward(makeBatch(), place);
      assertWithin([lossSum / 4], [fixture.losses[step]], TOLERANCE, `loss of step ${step}`);
      if (step === 0) assertGradients(replica);
      await replica.applyUpdate(replica.vector, { rates: [fixture.sgd.lr], step: step + 1 });
    }
    for (const parameter of replica.parameters) {
      const expected = (parameter.buffer ? fixture.buffersAfter : fixture.parametersAfter)[
        parameter.name
      ];
      assertSummary(parameter, parameter.variable, expected, TOLERANCE);
    }
    replica.dispose();
  });
}

/** The gradients stand in the vector one after the other. */
function assertGradients({ vector, trainable }: Replica): void {
  let offset = 0;
  for (const parameter of trainable) {
    const { shape, size } = parameter.variable;
    const part = vector.subarray(offset, offset += 4 * size);
    const gradient = tf.tidy(() => tf.variable(tensorFrom(shape, "float32", part)));
    assertSummary(parameter, gradient, fixture.gradients[parameter.name], TOLERANCE);
    gradient.dispose();
  }
}
