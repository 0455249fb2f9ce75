/**
 * Compares every op of training and evaluation with the CPU's, on the values that it has in the networks.
 *
 * @module
 */
import { alignedBytes } from "../../../src/base/aligned_memory.ts";
import { hostMemory } from "../../../src/engine/device_memory.ts";
import { VersionedMemory } from "../../../src/engine/versioned_memory.ts";
import { counted } from "../../../src/base/format.ts";
import { typeAttribute } from "../../../src/engine/binding/attributes.ts";
import { DATA_TYPES } from "../../../src/engine/binding/attributes.ts";
import { nativeBackend } from "../../../src/engine/backend.ts";
import { tf } from "../../../src/engine/tf.ts";
import { MODEL_NAMES, type ModelName } from "../../../src/models/registry.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { shownError } from "../compare.ts";
import { deviceName, openSmokeEngine } from "../engine.ts";
import { registeredKernels } from "../kernels.ts";
import { isWrong, OpComparer, type OpComparison } from "../op_comparer.ts";
import { CLASSES, madeBatch } from "../replica.ts";
import { createModel } from "../../../src/models/create_model.ts";
import { optimizerConfig } from "../../../src/optim/config.ts";
import { hostVectors } from "../../../src/exchange/step_buffers.ts";
import { Replica } from "../../../src/train/replica.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "ops",
  title: "every op against the CPU",
  limitSeconds: 100,
  cards: "first",
  needsGpu: false,
  isExact: true,
  run,
};

const ROWS = 2;
/** Side of the images in pixels. */
const SIDE = 80;
/** Side for Inception, whose auxiliary classifier takes no smaller images. */
const INCEPTION_SIDE = 299;
/** Networks of a short check: together they have nearly all ops. */
const SHORT: readonly ModelName[] = ["squeezenet1_1", "plain_cnn"];
/** Ops that captures add to a network's own. */
const CAPTURE_OPS = ["Identity", "Snapshot"];
/** Failures that a result lists. */
const MAX_SHOWN = 50;

async function run(context: CheckContext): Promise<Outcome> {
  const engine = await openSmokeEngine(context);
  const { runtime } = engine;
  const comparer = new OpComparer(runtime, deviceName(engine));
  for (const name of context.size === "short" ? SHORT : MODEL_NAMES) {
    runtime.tracer = comparer;
    try {
      await walk(name);
    } finally {
      runtime.tracer = undefined;
      comparer.release();
    }
  }
  runtime.tracer = comparer;
  addCaptureOps(comparer);
  runtime.tracer = undefined;
  const kernels = registeredKernels(
    context.libraryPath,
    (buffer) => runtime.bufferBytes(buffer),
  );
  const kind = engine.hasGpu ? "GPU" : "CPU";
  // Kernels that only hand a tensor on may be registered for any device.
  const without = comparer.ops.filter((op) =>
    ![kind, "DEFAULT"].some((device) => kernels.get(op)?.has(device))
  );
  return summarize(comparer, without, kind);
}

/** Trains a network for a step and evaluates it, op by op. */
async function walk(name: ModelName): Promise<void> {
  // With dropout and stochastic depth: these have ops of their own.
  const model = createModel(name, { numClasses: CLASSES, seed: 1 });
  // Ops on the GPU's own memory are no part of the network, and are checked by its copies and gradients.
  const { runtime } = nativeBackend();
  const { tracer } = runtime;
  runtime.tracer = undefined;
  using replica = new Replica(model, {
    optimizer: { settings: optimizerConfig({ optimizer: "sgd" }), lr: 0.01 },
    capture: false,
  });
  const { vectorBytes, regions } = replica.state;
  const make = () => hostMemory(alignedBytes(vectorBytes));
  replica.state.attach({
    ...hostVectors({ vectorBytes }),
    regions: Array.from({ length: regions }, () => new VersionedMemory(make(), make)),
  });
  runtime.tracer = tracer;
  const batch = madeBatch(ROWS, name === "inception_v3" ? INCEPTION_SIDE : SIDE);
  await replica.forwardBackward(batch, { seed: [1, 2], globalRows: ROWS, rowOffset: 0 });
  await replica.evaluate(batch);
  tf.tidy(() => tf.softmax(tf.tensor2d([[1, 2, 3]])).dataSync());
}

function addCaptureOps(comparer: OpComparer): void {
  const values = tf.tensor1d([1.5, -2, 3]);
  const backend = nativeBackend();
  const [id] = backend.getInputTensorIds([values]);
  for (const op of CAPTURE_OPS) {
    const outputs = comparer.addOp(op, [typeAttribute("T", DATA_TYPES.TF_FLOAT)], [id]);
    for (const output of outputs) backend.runtime.deleteTensor(output.id);
  }
  values.dispose();
}

function summarize(comparer: OpComparer, without: readonly string[], kind: string): Outcome {
  const comparisons = [...comparer.comparisons.values()];
  const wrong = comparisons.filter(isWrong);
  const details = {
    ops: comparer.ops,
    withoutKernel: without,
    worstByOp: Object.fromEntries(worstByOp(comparisons)),
    wrong: wrong.slice(0, MAX_SHOWN),
  };
  const compared = `${counted(comparer.ops.length, "op")} in ${comparisons.length} forms`;
  if (without.length > 0) {
    const figure = `${compared}; without a kernel for the ${kind}: ${without.join(", ")}`;
    return { status: "fail", figure, details };
  }
  if (wrong.length > 0) {
    const ops = [...new Set(wrong.map(({ op }) => op))];
    const [{ op, inputs, error, problem }] = wrong;
    const first = problem ?? `${op} on ${inputs} has an error of ${shownError(error)}`;
    const figure = `${compared}; ${ops.length} ops are wrong (${ops.slice(0, 5).join(", ")}${
      ops.length > 5 ? ", …" : ""
    }); first: ${first}`;
    return { status: "fail", figure, details };
  }
  const worst = comparisons.reduce((a, b) => b.error / b.limit > a.error / a.limit ? b : a);
  return {
    status: "pass",
    figure: `${compared}; worst error ${shownError(worst.error)} (${worst.op})`,
    details,
  };
}

function worstByOp(comparisons: readonly OpComparison[]): Map<string, number> {
  const worst = new Map<string, number>();
  for (const { op, error } of comparisons) worst.set(op, Math.max(worst.get(op) ?? 0, error));
  return worst;
}
