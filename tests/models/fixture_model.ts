import assert from "node:assert/strict";
import { tf } from "../../src/engine/tf.ts";
import type { Parameter } from "../../src/models/parameters.ts";
import { loadStateDict } from "../../src/models/state_dict.ts";
import { deterministicFill, deterministicValues } from "../support/deterministic_fill.ts";

/** An input that the fixtures describe instead of holding it. */
export interface FilledInput {
  name: string;
  /** NCHW. */
  shape: [number, number, number, number];
  scale: number;
}

/** Reads a fixture of `scripts/make_model_fixtures.py`. */
export async function readFixture<T>(name: string): Promise<T> {
  const url = new URL(`../fixtures/models/${name}.json`, import.meta.url);
  return JSON.parse(await Deno.readTextFile(url));
}

/**
 * Gives a model the parameters that the fixtures' networks have.
 *
 * @param names Names in the fixture's network, where they differ
 */
export function fill(
  model: tf.LayersModel,
  parameters: readonly Parameter[],
  head: string,
  names: ReadonlyMap<string, string> = new Map(),
): void {
  const state = new Map(
    parameters.map(({ name, torchShape }) => [
      name,
      { shape: torchShape, read: () => deterministicFill(names.get(name) ?? name, torchShape) },
    ]),
  );
  loadStateDict(model, state, { source: "the fixture", heads: [head], replaceHead: false });
}

/** The input in tfjs's layout: [n, h, w, c]. */
export function inputImages({ name, shape: [n, c, h, w], scale }: FilledInput): Float32Array {
  const nchw = deterministicValues(name, n * c * h * w, scale);
  const nhwc = new Float32Array(nchw.length);
  for (let image = 0; image < n; image++) {
    for (let channel = 0; channel < c; channel++) {
      for (let pixel = 0; pixel < h * w; pixel++) {
        nhwc[(image * h * w + pixel) * c + channel] = nchw[(image * c + channel) * h * w + pixel];
      }
    }
  }
  return nhwc;
}

/** Holds values to expected ones within `tolerance` of the largest expected magnitude. */
export function assertWithin(
  actual: readonly number[],
  expected: readonly number[],
  tolerance: number,
  what: string,
): void {
  assert.equal(actual.length, expected.length, what);
  const scale = Math.max(...expected.map(Math.abs), 1e-12);
  actual.forEach((value, index) => {
    const error = Math.abs(value - expected[index]) / scale;
    assert.ok(
      error <= tolerance,
      `${what}: element ${index} is ${value}, expected ${expected[index]} (${
        error.toExponential(1)
      })`,
    );
  });
}
