import assert from "node:assert/strict";
import type { ConfigInput } from "../../src/config/schema.ts";
import { fakeGpuMachine } from "../support/fake_cuda/machine.ts";
import type { Copies } from "../support/fake_cuda/record.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("gpu_steps_program.ts", import.meta.url).pathname;

/** The most bytes beside the batch and the vectors. */
const LIMIT = 4096;

/** Copies of one step of one rank. */
interface Steady extends Copies {
  readonly batchBytes: number;
  readonly vectorBytes: number;
  readonly errors: readonly unknown[];
}

async function steadyStep(worldSize: number, changes: Partial<ConfigInput> = {}): Promise<Steady> {
  await using machine = await fakeGpuMachine({ zeroResults: true });
  const { code, stdout, stderr } = await runDeno(
    ["run", "-A", "--no-check", PROGRAM, String(worldSize), JSON.stringify(changes)],
    { env: machine.env },
  );
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

interface Row {
  readonly what: string;
  readonly worldSize: number;
  readonly changes?: Partial<ConfigInput>;
  /** Copies of a step: up the batch and small tensors, and down the step's result and no more than is said here. */
  readonly up: number;
  readonly down: number;
  /** Vectors that a step copies each way. */
  readonly vectors: number;
}

/** The copies of a steady step, whose bytes are the batch's, those of the vectors, and 4 KiB at most. */
const TABLE: readonly Row[] = [
  { what: "one worker", worldSize: 1, up: 7, down: 1, vectors: 0 },
  {
    what: "one worker with all that an update can have",
    worldSize: 1,
    changes: {
      train: {
        ...{ optimizer: "adamw", ema: { decay: 0.9 }, clipGradNorm: 1, labelSmoothing: 0.1 },
        accumulationSteps: 2,
      } as ConfigInput["train"],
    },
    ...{ up: 20, down: 1, vectors: 0 },
  },
  {
    what: "a network with BatchNorm",
    worldSize: 1,
    changes: { model: { name: "resnet18", weights: "none" } },
    ...{ up: 9, down: 2, vectors: 0 }, // down: PadV2 has its constant, 4 bytes, in memory of the host
  },
  {
    what: "a frozen body",
    worldSize: 1,
    changes: { model: { name: "resnet18", weights: "pretrained", featureExtract: true } },
    ...{ up: 7, down: 2, vectors: 0 },
  },
  { what: "two workers in shared memory", worldSize: 2, up: 8, down: 2, vectors: 1 },
];

fakeCudaTest("without capture, too, the weights of a step stay on the GPU", async () => {
  const { batchBytes, vectorBytes, ...step } = await steadyStep(1, { engine: { capture: false } });
  assert.deepEqual(step.errors, []);
  // Single ops have numbers and masks as inputs, which a captured function has as constants.
  assert.ok(step.bytesUp - batchBytes < vectorBytes / 2, `${step.bytesUp} bytes up`);
  assert.deepEqual([step.copiesDown, step.bytesDown], [1, 12]);
});

fakeCudaTest(
  "a steady step on a GPU copies the batch, a small result, and the exchanged vector alone",
  async () => {
    const measured = await Promise.all(
      TABLE.map(({ worldSize, changes }) => steadyStep(worldSize, changes)),
    );
    for (const [index, { what, up, down, vectors }] of TABLE.entries()) {
      const { batchBytes, vectorBytes, ...step } = measured[index]!;
      assert.deepEqual(step.errors, [], what);
      assert.ok(step.copiesUp <= up, `${what}: ${step.copiesUp} copies up`);
      assert.equal(step.copiesDown, down, `${what}: copies down`);
      const bytesUp = step.bytesUp - batchBytes - vectors * vectorBytes;
      const bytesDown = step.bytesDown - vectors * vectorBytes;
      assert.ok(bytesUp >= 0 && bytesUp <= LIMIT, `${what}: ${bytesUp} bytes up beside the batch`);
      assert.ok(bytesDown > 0 && bytesDown <= LIMIT, `${what}: ${bytesDown} bytes down`);
    }
  },
);
