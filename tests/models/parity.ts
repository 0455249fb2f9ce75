/**
 * Holds a network to what PyTorch's computes, from the fixtures of `scripts/make_parity_fixtures.py`.
 *
 * @module
 */
import { hostOf } from "../../src/engine/device_memory.ts";
import assert from "node:assert/strict";
import { bytesIn } from "../../src/base/float_range.ts";
import { tf } from "../../src/engine/tf.ts";
import { readInto, tensorFrom } from "../../src/engine/transfer.ts";
import { ARCHITECTURES, type ModelName } from "../../src/models/registry.ts";
import { applyModel } from "../../src/models/heads.ts";
import { type Parameter, parametersOf, toTorch } from "../../src/models/parameters.ts";
import { assignTorch } from "../../src/models/state_dict.ts";
import type { OptimizerConfig } from "../../src/optim/config.ts";
import { Replica } from "../../src/train/replica.ts";
import { deterministicFill, deterministicValues } from "../support/deterministic_fill.ts";
import { rowStep, summarize, summaryError, type TensorSummary } from "../support/tensor_summary.ts";
import { assertWithin, type FilledInput, inputImages } from "./fixture_model.ts";

/** PyTorch's results for a parameter or buffer. */
interface ParityTensor {
  readonly shape: readonly number[];
  /** Root mean square and largest magnitude as torchvision draws it. */
  readonly drawn?: readonly [number, number];
  readonly gradient?: TensorSummary;
  /** Its change in 3 steps of SGD. */
  readonly sgd: TensorSummary;
  /** Its change in 3 steps of Adam. */
  readonly adam: TensorSummary;
  /** The gradient is 0 but for rounding: of a bias that BatchNorm takes away again. */
  readonly nil?: boolean;
}

/** A fixture. */
export interface ParityFixture {
  readonly numClasses: number;
  readonly input: FilledInput;
  readonly labels: readonly number[];
  readonly normBias: number;
  readonly steps: number;
  readonly sgd: { lr: number; momentum: number; weightDecay: number };
  readonly adam: { lr: number; betas: [number, number]; eps: number };
  readonly evalLogits: readonly (readonly number[])[];
  /** With Inception's `transformInput`. */
  readonly transformedLogits?: readonly (readonly number[])[];
  readonly sgdLosses: readonly number[];
  readonly adamLosses: readonly number[];
  /** The distance between PyTorch's float32 and its float64: the worst tensor and the median. */
  readonly float32Deviation: Readonly<Record<"gradients" | "sgd" | "adam", [number, number]>>;
  /** Any tensor may be off by as much as the worst one, see the script. */
  readonly anyFlips: boolean;
  readonly catalog: CatalogFacts;
  /** Names, shapes and types of torchvision's state dict with 3 classes; missing for networks of others. */
  readonly stateDict?: readonly string[];
  /** By PyTorch's names. */
  readonly tensors: Readonly<Record<string, ParityTensor>>;
}

/** Share of the largest magnitude, or of the norm, that a result may be off. */
const TOLERANCE = 1e-4;

/** The same for what 3 steps change, which is a small part of a parameter: the parameter itself is nearer. */
const CHANGE_TOLERANCE = 4e-4;

/**
 * Factor for tensors where PyTorch's own float32 lies further from its float64 than an eighth of {@linkcode TOLERANCE} (a sum that
 * nearly cancels, or in Adam a gradient near 0, whose sign alone counts), so many times that much is let pass.
 */
const OF_PYTORCHS_OWN = 8;

/** Share of the norm of all gradients below which one is 0 but for rounding. */
const NIL = 1e-6;

/** The relative error of a float32 step, in the value that it changes. */
const HALF_ULP = 2 ** -24;

/** A parameter or buffer beside what is expected of it. */
interface Held {
  readonly parameter: Parameter;
  readonly expected: ParityTensor;
  /** PyTorch's name. */
  readonly torchName: string;
}

/** PyTorch's counts for a network with 1000 classes, and torchvision's published facts about it. */
export interface CatalogFacts {
  readonly inputSize: number;
  readonly parameters: number;
  readonly multiplyAdds: number;
  /** Name of the last layer. */
  readonly head: string;
  readonly headParameters: number;
  readonly auxiliaryParameters?: number;
  readonly metadata?: { readonly num_params: number; readonly _ops: number };
  /** By version, such as `IMAGENET1K_V1`. */
  readonly weights?: Readonly<
    Record<string, { readonly url: string; readonly _file_size: number }>
  >;
}

/**
 * Reads a network's fixture.
 *
 * @throws {Error} that says how to make it when it is missing
 */
export async function readParity(name: string): Promise<ParityFixture> {
  const url = new URL(`../fixtures/parity/${name}.json`, import.meta.url);
  const text = await Deno.readTextFile(url).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(
      `There is no fixture tests/fixtures/parity/${name}.json: make it with ` +
        `"python scripts/make_parity_fixtures.py --search 16 --norm-bias 3 ${name}"`,
    );
  });
  return JSON.parse(text);
}

/** A network beside what PyTorch found. */
export class Parity {
  readonly #model: tf.LayersModel;
  readonly #fixture: ParityFixture;
  readonly #held: readonly Held[];
  /** The network's initial values, in the order of the parameters. */
  #start: tf.Tensor[] = [];

  /** @throws {AssertionError} when names or shapes aren't PyTorch's */
  constructor(model: tf.LayersModel, name: ModelName, fixture: ParityFixture) {
    const { renameState = (torchName: string) => torchName } = ARCHITECTURES[name];
    const expected = new Map(
      Object.entries(fixture.tensors).map(([torchName, tensor]) => [
        renameState(torchName),
        { torchName, expected: tensor },
      ]),
    );
    const parameters = parametersOf(model);
    const shapes = (entries: (readonly [string, readonly number[]])[]) =>
      Object.fromEntries(entries.sort());
    assert.deepEqual(
      shapes(parameters.map((parameter) => [parameter.name, parameter.torchShape])),
      shapes([...expected].map(([own, { expected: { shape } }]) => [own, shape])),
    );
    this.#model = model;
    this.#fixture = fixture;
    this.#held = parameters.map((parameter) => ({ parameter, ...expected.get(parameter.name)! }));
  }

  /** Holds the weights, as they are drawn, to the sizes of torchvision's. */
  assertDrawn(): void {
    for (const { parameter: { name, variable }, expected: { drawn } } of this.#held) {
      if (!drawn) continue;
      const [rms, largest] = drawn;
      const own = tf.tidy(() =>
        [tf.sqrt(tf.mean(tf.square(variable))), tf.max(tf.abs(variable))].map(scalarOf)
      );
      if (rms === largest) {
        assert.deepEqual(own, [rms, largest], name);
        continue;
      }
      // Six deviations of the difference of two samples.
      const room = 6 / Math.sqrt(variable.size);
      assert.ok(Math.abs(own[0] / rms - 1) <= room, `${name}: size ${own[0]}, expected ${rms}`);
      if (variable.size < 1000) continue;
      // √3 times the root mean square bounds a uniform distribution, and no normal one.
      const isUniform = largest / rms < 1.8;
      assert.equal(own[1] / own[0] < 1.8, isUniform, `${name}: uniform ${isUniform}`);
    }
  }

  /** Gives the network the parameters and buffers that PyTorch's had. */
  fill(): void {
    const names = new Set(this.#held.map(({ torchName }) => torchName));
    for (const { parameter: { variable, kind, torchShape }, torchName } of this.#held) {
      const values = deterministicFill(torchName, torchShape);
      if (names.has(torchName.replace(/bias$/, "running_mean")) && torchName.endsWith("bias")) {
        for (let i = 0; i < values.length; i++) values[i] += this.#fixture.normBias;
      }
      assignTorch(variable, values, torchShape, kind);
    }
    this.#start = this.#held.map(({ parameter }) => tf.clone(parameter.variable));
  }

  /** Gives the network again what {@linkcode Parity.fill} gave it. */
  reset(): void {
    this.#held.forEach(({ parameter }, index) => parameter.variable.assign(this.#start[index]));
  }

  /** Holds the logits in eval mode to PyTorch's. */
  assertLogits(expected: readonly (readonly number[])[], model = this.#model): void {
    const { images, height, width } = this.#batch();
    const logits = tf.tidy(() => {
      const bytes = new Uint8Array(images.buffer);
      const input = tensorFrom(
        [images.length / height / width / 3, height, width, 3],
        "float32",
        bytes,
      );
      return applyModel(model, input, false).map((tensor) => tensor.arraySync());
    });
    assert.equal(logits.length, 1, "the auxiliary classifier counts in training only");
    assertWithin(logits[0].flat(), expected.flat(), TOLERANCE, "logits");
  }

  /** Copies the parameters and buffers into another network of the same kind. */
  copyInto(model: tf.LayersModel): void {
    parametersOf(model).forEach(({ variable }, index) =>
      variable.assign(this.#held[index].parameter.variable)
    );
  }

  /** Trains, and holds losses, gradients of the first step and all changes to PyTorch's. */
  async assertLearns(by: "sgd" | "adam", capture: boolean): Promise<void> {
    const { steps, labels, [by]: { lr }, [`${by}Losses` as const]: losses } = this.#fixture;
    const replica = new Replica(this.#model, {
      optimizer: { settings: settingsOf(by, this.#fixture), lr },
      capture,
    });
    try {
      const place = { seed: [0, 0], globalRows: labels.length, rowOffset: 0 } as const;
      const found: number[] = [];
      for (let step = 1; step <= steps; step++) {
        const { lossSum, weight } = await replica.forwardBackward(this.#batch(), place);
        found.push(lossSum / weight);
        if (step === 1) this.#assertGradients(replica);
        await replica.step({ rates: [lr], step, squares: 0 });
      }
      assertWithin(found, losses, TOLERANCE, "losses");
      this.#assertChanges(by);
    } finally {
      replica.dispose();
    }
  }

  /** Releases what {@linkcode Parity.fill} kept; the network stays. */
  dispose(): void {
    tf.dispose(this.#start);
    this.#start = [];
  }

  #batch() {
    const { input, labels } = this.#fixture;
    const [count, channels, height, width] = input.shape;
    const images = inputImages(input);
    const patches = deterministicValues(
      `${input.name}.patches`,
      count * channels * 16,
      input.scale,
    );
    for (let i = 0; i < images.length; i++) {
      const channel = i % channels;
      const x = Math.floor(i / channels) % width;
      const y = Math.floor(i / channels / width) % height;
      const image = Math.floor(i / channels / width / height);
      const patch = 4 * Math.floor(y * 4 / height) + Math.floor(x * 4 / width);
      images[i] += patches[(image * channels + channel) * 16 + patch];
    }
    return { images, labels: Int32Array.from(labels), height, width };
  }

  #assertGradients({ state: { buffers: { vector }, layout } }: Replica): void {
    const learning = this.#held.filter(({ parameter }) => !parameter.buffer);
    const problems: string[] = [];
    const total = Math.hypot(...learning.map(({ expected: { gradient } }) => gradient![0]));
    for (const [index, { parameter, expected }] of learning.entries()) {
      const { shape, size } = parameter.variable;
      const part = bytesIn(hostOf(vector), layout.places[index]);
      const gradient = tensorFrom(shape, "float32", part);
      const actual = summaryOf(gradient, parameter);
      gradient.dispose();
      if (expected.nil) {
        assert.ok(actual[0] <= NIL * total, `${parameter.name}: gradient ${actual[0]}`);
      } else {
        const what = `gradient of ${parameter.name}`;
        const room = this.#roomFor("gradients", expected.gradient!);
        problems.push(...deviation(what, actual, expected.gradient!, { count: size, room }));
      }
    }
    assert.deepEqual(problems, []);
    assert.equal(
      learning.length,
      Object.values(this.#fixture.tensors).filter((t) => t.gradient).length,
    );
  }

  #assertChanges(by: "sgd" | "adam"): void {
    const { steps, adam } = this.#fixture;
    const problems: string[] = [];
    this.#held.forEach(({ parameter, expected }, index) => {
      const { variable, name } = parameter;
      const before = normOf(this.#start[index]);
      const change = tf.tidy(() => tf.sub(variable, this.#start[index]));
      if (expected.nil && by === "adam") {
        // Adam makes steps up to its rate out of rounding errors.
        const largest = tf.tidy(() => scalarOf(tf.max(tf.abs(change))));
        assert.ok(largest <= 1.01 * steps * adam.lr, `${name}: ${largest} by adam`);
      } else {
        const actual = summaryOf(change, parameter);
        const floor = before * steps * HALF_ULP / TOLERANCE;
        const about = { count: variable.size, room: this.#roomFor(by, expected[by]), floor };
        problems.push(...deviation(`${name} by ${by}`, actual, expected[by], about));
      }
      change.dispose();
    });
    assert.deepEqual(problems, []);
  }

  /** Returns the tolerance of a tensor. */
  #roomFor(group: "gradients" | "sgd" | "adam", expected: TensorSummary): number {
    const { anyFlips, float32Deviation } = this.#fixture;
    const [, , , , , ofPytorchs = 0] = expected;
    const [worst] = float32Deviation[group];
    const tolerance = group === "gradients" ? TOLERANCE : CHANGE_TOLERANCE;
    return Math.max(tolerance, OF_PYTORCHS_OWN * ofPytorchs, anyFlips ? worst : 0);
  }
}

/** Says how far a summary is off, when it is too far: one line or none. */
function deviation(
  what: string,
  actual: TensorSummary,
  expected: TensorSummary,
  { count, room, floor = 0 }: { count: number; room: number; floor?: number },
): string[] {
  const error = summaryError(actual, expected, count, floor);
  if (error <= room) return [];
  const [found, allowed] = [error, room].map((value) => value.toExponential(1));
  return [`${what}: off by ${found}, may be by ${allowed}: [${actual}], expected [${expected}]`];
}

function settingsOf(by: "sgd" | "adam", { sgd, adam }: ParityFixture): OptimizerConfig {
  const { momentum, weightDecay } = sgd;
  const { betas, eps } = adam;
  return by === "sgd"
    ? { optimizer: "sgd", momentum, weightDecay, dampening: 0, nesterov: false }
    : { optimizer: "adam", betas, eps, weightDecay: 0 };
}

/** Summarizes a tensor in tfjs's layout. */
function summaryOf(tensor: tf.Tensor, { kind }: Parameter): TensorSummary {
  const step = rowStep(tensor.size);
  let rows = new Float32Array(0);
  let norm: number | undefined;
  tf.tidy(() => {
    if (step === 1) {
      rows = elementsOf(toTorch(tensor, kind));
      return;
    }
    assert.equal(kind, "linear", "PyTorch's first axis is the last one here");
    const [inputs, units] = tensor.shape;
    const some = tf.stridedSlice(tensor, [0, 0], [inputs, units], [1, step]);
    rows = elementsOf(toTorch(some, kind));
    norm = normOf(tensor);
  });
  return summarize(rows, norm);
}

function elementsOf(tensor: tf.Tensor): Float32Array<ArrayBuffer> {
  const elements = new Float32Array(tensor.size);
  readInto(tensor, new Uint8Array(elements.buffer));
  return elements;
}

/** The Euclidean norm; `tf.norm()` raises each element to a power, which takes ten times as long. */
function normOf(tensor: tf.Tensor): number {
  return tf.tidy(() => scalarOf(tf.sqrt(tf.sum(tf.square(tensor)))));
}

function scalarOf(tensor: tf.Tensor): number {
  return tensor.dataSync()[0];
}
