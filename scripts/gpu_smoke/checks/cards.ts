/**
 * Computes a product of matrices with known values on each card.
 *
 * @module
 */
import { DATA_TYPES, typeAttribute } from "../../../src/engine/binding/attributes.ts";
import { ATTRIBUTE_TYPES } from "../../../src/engine/binding/attributes.ts";
import type { Runtime } from "../../../src/engine/binding/runtime.ts";
import { counted } from "../../../src/base/format.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { failureOf, onEachCard } from "../each_card.ts";
import { deviceName, openSmokeEngine } from "../engine.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "cards",
  title: "that each card computes",
  limitSeconds: 40,
  cards: "all",
  needsGpu: false,
  run,
};

const SIDE = 256;
const PRODUCT = `exact products of ${SIDE} × ${SIDE}`;

async function run(context: CheckContext): Promise<Outcome> {
  return context.gpus.length > 1 ? await runOnEach(context) : await runOnOne(context);
}

/** Makes the check on each GPU. */
async function runOnEach(context: CheckContext): Promise<Outcome> {
  const outcomes = await onEachCard(CHECK, context);
  return failureOf(outcomes) ?? {
    status: "pass",
    figure: `${counted(outcomes.length, "card")} with ${PRODUCT}`,
    details: outcomes,
  };
}

async function runOnOne(context: CheckContext): Promise<Outcome> {
  const engine = await openSmokeEngine(context);
  const device = deviceName(engine);
  const wrong = wrongValues(engine.runtime, device);
  if (wrong > 0) return failed(`${wrong} of ${SIDE * SIDE} values are wrong on ${device}`);
  return { status: "pass", figure: `1 device with ${PRODUCT}` };
}

function failed(figure: string): Outcome {
  return { status: "fail", figure };
}

/** Returns how many values of a product of small integers differ from the exact ones, which every format holds. */
function wrongValues(runtime: Runtime, device: string): number {
  const a = Float32Array.from({ length: SIDE * SIDE }, (_, at) => (at * 7 + (at >> 8)) % 5 - 2);
  const b = Float32Array.from({ length: SIDE * SIDE }, (_, at) => (at * 3 + (at >> 8)) % 4 - 1);
  const [left, right] = [a, b].map((values) =>
    runtime.createTensor([SIDE, SIDE], DATA_TYPES.TF_FLOAT, values)
  );
  const no = (name: string) => ({ name, type: ATTRIBUTE_TYPES.TF_ATTR_BOOL, value: false });
  const attributes = [
    typeAttribute("T", DATA_TYPES.TF_FLOAT),
    no("transpose_a"),
    no("transpose_b"),
  ];
  const [{ id }] = runtime.executeOn(device, "MatMul", attributes, [left, right]);
  const product = runtime.read(id) as Float32Array;
  for (const tensor of [left, right, id]) runtime.deleteTensor(tensor);
  let wrong = 0;
  for (let row = 0; row < SIDE; row++) {
    for (let column = 0; column < SIDE; column++) {
      let sum = 0;
      for (let k = 0; k < SIDE; k++) sum += a[row * SIDE + k]! * b[k * SIDE + column]!;
      if (product[row * SIDE + column] !== sum) wrong++;
    }
  }
  return wrong;
}
