import assert from "node:assert/strict";
import { z } from "zod";
import { alignedBytes } from "../../src/base/aligned_memory.ts";
import averagesFixture from "../fixtures/optim/averages.json" with { type: "json" };
import { given } from "../../src/base/given.ts";
import { bytesIn, floatsOf, shardOf } from "../../src/base/float_range.ts";
import { TENSOR_OPS } from "../../src/engine/capture/vector_pass.ts";
import { hostMemory, hostOf } from "../../src/engine/device_memory.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { VersionedMemory } from "../../src/engine/versioned_memory.ts";
import { compileKernel, WasmKernel } from "../../src/engine/wasm_kernel.ts";
import { newShareAt, newShareOfSteps, WeightAverages } from "../../src/optim/averages.ts";
import {
  type EmaConfig,
  OPTIMIZER_NAMES,
  optimizerConfig,
  optimizerShape,
  scheduleSchema,
} from "../../src/optim/config.ts";
import { layOut } from "../../src/optim/flat_layout.ts";
import { Optimizer } from "../../src/optim/optimizer.ts";
import * as optimizers from "../../src/optim/optimizers.ts";
import { updateRule } from "../../src/optim/rules.ts";
import { learningRateAt } from "../../src/optim/schedule.ts";
import { deterministicValues } from "../support/deterministic_fill.ts";
import { readCases } from "./fixtures.ts";
import { assertWithin } from "../models/fixture_model.ts";

await openEngine();

interface Case {
  name: string;
  settings: { lr: number; weight_decay?: number };
  clipGradNorm?: number;
  clipGradValue?: number;
  group?: { lr: number; weight_decay?: number };
  schedule?: boolean;
  ema?: Omit<EmaConfig, "rule">;
  trajectory: number[][];
}

const TOLERANCE = 1e-5;
const STEPS = 50;

/** Parameters before the first step, and their gradients in each: those of `scripts/make_optim_fixtures.py`. */
const start = {
  "body.weight": [...deterministicValues("optim.start", 5, 1)],
  "head.weight": [...deterministicValues("optim.head", 3, 1)],
};
const names = Object.keys(start) as (keyof typeof start)[];
const gradients = Object.fromEntries(names.map((name) => {
  const count = start[name].length;
  const values = [...deterministicValues(`optim.${name}`, STEPS * count, 1)];
  return [
    name,
    Array.from({ length: STEPS }, (_, step) => values.slice(step * count, (step + 1) * count)),
  ];
}));
const layout = layOut(names.map((name) => start[name].length));
const parameters = names.map((name, index) => ({ name, place: layout.places[index] }));
const BYTES = 4 * layout.floats;

/** Vectors with values of the parameters in their places. */
function vectorOf(values: (name: (typeof names)[number]) => readonly number[]) {
  const vector = alignedBytes(BYTES);
  const floats = floatsOf(vector);
  names.forEach((name, index) => floats.set(values(name), layout.places[index].begin));
  return vector;
}

/** Memory in two versions; the current one may have values. */
function inTwoVersions(current = alignedBytes(BYTES)): VersionedMemory {
  return new VersionedMemory(hostMemory(current), hostMemory(alignedBytes(BYTES)));
}

function valuesIn(vector: Uint8Array): number[] {
  return layout.places.flatMap((place) => [...floatsOf(bytesIn(vector, place))]);
}

const cases = (await Promise.all(
  OPTIMIZER_NAMES.map(async (optimizerName) =>
    (await readCases<Case>("optimizers", optimizerName)).map((entry) => ({
      optimizerName,
      ...entry,
    }))
  ),
)).flat();

/** PyTorch's settings as a config names them. */
function inCamelCase(settings: object): object {
  return Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [
      key.replaceAll(/_(.)/g, (_, letter) => letter.toUpperCase()),
      value,
    ]),
  );
}

/**
 * The ranks of a step that shares the work (one, or two that split the vector), and the factor of a loss that was scaled.
 */
for (const [worldSize, scale] of [[1, undefined], [2, undefined], [1, 4096]] as const) {
  for (const { optimizerName, ...entry } of cases) {
    Deno.test(
      `Optimizer follows PyTorch's ${optimizerName} for 50 steps, ${entry.name}, in ${worldSize} parts${
        scale === undefined ? "" : `, loss times ${scale}`
      }`,
      async () => {
        const { settings: { lr, ...settings }, group, clipGradNorm, clipGradValue } = entry;
        const options = {
          settings: optimizerConfig({ optimizer: optimizerName, ...inCamelCase(settings) }),
          lr,
          groups: group
            ? [{ match: ["head.*"], lr: group.lr, weightDecay: group.weight_decay }]
            : [],
          clipGradNorm,
          clipGradValue,
          isScaled: scale !== undefined,
        };
        const values = inTwoVersions(vectorOf((name) => start[name]));
        const gradient = alignedBytes(BYTES);
        const averages = inTwoVersions();
        using stack = new DisposableStack();
        const shards = Array.from(
          { length: worldSize },
          (_, rank) => shardOf(rank, worldSize, BYTES),
        );
        let slotsOfRun: VersionedMemory[] | undefined;
        const ranks = shards.map((range) => {
          const optimizer = stack.use(new Optimizer(parameters, options, layout.floats));
          const slots = slotsOfRun ??= optimizer.slots.map(() => inTwoVersions());
          optimizer.attach({ values, slots, gradients: hostMemory(gradient), range });
          const own = entry.ema && stack.use(new WeightAverages({ values, averages, range }));
          return { range, optimizer, averages: own };
        });
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
        for (const [step, expected] of entry.trajectory.entries()) {
          const times = (name: typeof names[number]) =>
            gradients[name][step].map((value) => (scale ?? 1) * value);
          gradient.set(vectorOf(times));
          let squares = 0, isAveraged = false;
          for (const { range, optimizer } of ranks) squares += optimizer.sumSquares(range, scale);
          for (const { optimizer, averages: own } of ranks) {
            const rates = optimizer.baseRates.map((rate) =>
              learningRateAt(schedule, rate, { epoch: 1, step }, { epochs: 1, stepsPerEpoch: 50 })
            );
            await optimizer.step({ rates, step: step + 1, squares, ...given("scale", scale) });
            if (entry.ema) isAveraged = await own!.update(newShareOfSteps(entry.ema, step + 1));
          }
          for (const made of [values, ...slotsOfRun!]) made.commit();
          if (isAveraged) averages.commit();
          const actual = valuesIn(hostOf((entry.ema ? averages : values).current));
          assertWithin(actual, expected, TOLERANCE, `parameters after step ${step + 1}`);
        }
      },
    );
  }
}

Deno.test("newShareAt() follows torchvision's reference training: counts anew each epoch, copies in warm-up", () => {
  for (const { ema, warmup, values, averages, globalBatch, ...length } of averagesFixture.content) {
    const schedule = {
      per: "epoch" as const,
      ...(warmup === undefined ? {} : { warmup: { length: warmup, startFactor: 0.1 } }),
    };
    const rule = { rule: "torchvision", ...ema } as const;
    let average = NaN;
    const actual = values.map((value, index) => {
      const place = {
        epoch: 1 + Math.floor(index / length.stepsPerEpoch),
        step: index % length.stepsPerEpoch,
      };
      const share = newShareAt({ ema: rule, schedule, globalBatch, ...length }, place, index + 1);
      if (share > 0) average = share === 1 ? value : (1 - share) * average + share * value;
      return average;
    });
    assertWithin(actual, averages, 1e-6, `averages with ${JSON.stringify(ema)}`);
  }
});

Deno.test("the rule of the averages has torchvision's defaults, and copies in a warm-up that counts steps", () => {
  const { ema } = z.object({ ema: optimizerShape.ema }).parse({ ema: { rule: "torchvision" } });
  assert.deepEqual(ema, { rule: "torchvision", decay: 0.99998, everySteps: 32 });
  assert.deepEqual(optimizerShape.ema.parse({}), { rule: "steps", decay: 0.999, everySteps: 1 });
  const rule = { rule: "torchvision", decay: 0.9, everySteps: 2 } as const;
  const schedule = { per: "step" as const, warmup: { length: 3, startFactor: 0.1 } };
  const run = { ema: rule, schedule, globalBatch: 1, epochs: 1, stepsPerEpoch: 9 };
  const shares = Array.from(
    { length: 9 },
    (_, step) => newShareAt(run, { epoch: 1, step }, step + 1),
  );
  assertWithin(shares, [1, 0, 1, 0, 1, 0, 0.2, 0, 0.2], 1e-9, "shares");
});

Deno.test("Optimizer refuses groups that match nothing, and says what learns", () => {
  const make = (...match: string[]) =>
    new Optimizer(parameters, {
      settings: optimizerConfig({ optimizer: "sgd" }),
      lr: 0.1,
      groups: match.map((pattern) => ({ match: [pattern] })),
    }, layout.floats);
  assert.throws(
    () => make("fc.*"),
    /train\.groups\[0\] has the pattern "fc\.\*", which matches no parameter that learns.*body\.weight, head\.weight/,
  );
  assert.throws(
    () => make("head.*", "*.weight", "body.*"),
    /train\.groups\[2\] takes no parameter that an earlier group has left/,
  );
});

Deno.test("Optimizer writes its part of the next version, and leaves the current one and other parts alone", async () => {
  const settings = optimizerConfig({ optimizer: "adam" });
  using optimizer = new Optimizer(parameters, { settings, lr: 0.1 }, layout.floats);
  assert.deepEqual(optimizer.slots, ["exp_avg", "exp_avg_sq"]);
  const values = inTwoVersions(vectorOf((name) => start[name]));
  const slots = optimizer.slots.map(() => inTwoVersions());
  const gradient = hostMemory(vectorOf((name) => gradients[name][0]));
  const range = shardOf(1, 2, BYTES);
  optimizer.attach({ values, slots, gradients: gradient, range });
  const before = [values, ...slots].map(({ current }) => hostOf(current).slice());
  await optimizer.step({ rates: [0.1], step: 1, squares: 0 });
  for (const [index, { current, next }] of [values, ...slots].entries()) {
    assert.deepEqual(hostOf(current), before[index], "version t is whole");
    const floats = floatsOf(hostOf(next));
    assert.ok(floats.subarray(0, range.begin).every((value) => value === 0), "not its part");
    assert.ok(floats.subarray(range.begin).some((value) => value !== 0));
  }
});

Deno.test("an update gives the bits of TensorFlow's ops, each rounded to float32", () => {
  for (const optimizerName of OPTIMIZER_NAMES) {
    const settings = optimizerConfig({ optimizer: optimizerName, weightDecay: 0.1 });
    const rule = updateRule(settings, true);
    const numbers = rule.numbers({ rate: 0.01, step: 3, weightDecay: 0.1 });
    const inputs = Array.from(
      { length: 2 + rule.slots.length },
      (_, index) => Float32Array.from(deterministicValues(`update.${index}`, 1000, 1), Math.abs),
    );
    const kernel = new WasmKernel(compileKernel({
      inputs: inputs.length,
      outputs: inputs.length - 1,
      numbers: numbers.length,
      compute(ops, [parameter, gradient, ...slots], numbers) {
        const after = rule.compute(ops, { parameter, gradient, slots }, numbers);
        return [after.parameter, ...after.slots];
      },
    }));
    const outputs = inputs.slice(1).map(() => new Float32Array(1000));
    const bytes = (floats: Float32Array) => new Uint8Array(floats.buffer);
    kernel.run(outputs.map(bytes), inputs.map(bytes), numbers);
    const [parameter, gradient, ...slots] = inputs.map((values) => tf.tensor1d(values));
    const after = rule.compute(
      TENSOR_OPS,
      { parameter, gradient, slots },
      numbers.map((number) => tf.scalar(number)),
    );
    const expected = [after.parameter, ...after.slots].map((tensor) => tensor.dataSync());
    assert.deepEqual(outputs, expected, optimizerName);
  }
});

Deno.test("optimizers that have a key of one name share its schema, and each declares all defaults", () => {
  const schemas = new Map<string, unknown>();
  for (const [name, { keys, defaults }] of Object.entries(optimizers)) {
    assert.deepEqual(Object.keys(defaults), Object.keys(keys), name);
    for (const [key, schema] of Object.entries(keys)) {
      assert.equal(schemas.get(key) ?? schema, schema, `${key} of ${name}`);
      schemas.set(key, schema);
      schema.parse(Object.entries(defaults).find(([own]) => own === key)![1]);
    }
  }
});
