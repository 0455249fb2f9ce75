import assert from "node:assert/strict";
import { fakeGpuMachine } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("fake_precision_program.ts", import.meta.url).pathname;

/** Kernels of a step, by their names. */
interface Kernels {
  readonly last: Readonly<Record<string, number>>;
  readonly all: Readonly<Record<string, number>>;
  readonly mathModes: number;
}

async function kernelsOf(args: string[], env: Record<string, string> = {}) {
  await using machine = await fakeGpuMachine({ zeroResults: true });
  const { code, stdout, stderr } = await runDeno(["run", "-A", "--no-check", PROGRAM, ...args], {
    env: { ...machine.env, ...env },
  });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Record<string, Kernels>;
}

let plain: ReturnType<typeof kernelsOf> | undefined;

/** Kernels of plain_cnn with float32, for both tests. */
function plainKernels(): ReturnType<typeof kernelsOf> {
  return plain ??= kernelsOf(["plain_cnn", "float32", "", "32"]);
}

/** Launches of the kernels whose names match. */
function launches(kernels: Readonly<Record<string, number>>, name: RegExp): number {
  return Object.entries(kernels).filter(([kernel]) => name.test(kernel))
    .reduce((sum, [, count]) => sum + count, 0);
}

/** Transposes of activations; those of filters are `ShuffleInTensor3Simple`. */
const TRANSPOSES = /SwapDimension1And2InTensor3/;
const BATCH_NORMS = 20;
const CONVOLUTIONS = 20 + 20 + 19; // forward, and backward for filters and inputs

fakeCudaTest("on a GPU, resnet18 computes with the format that is named", async () => {
  const [float16, bfloat16, float32, tf32, transposing] = await Promise.all([
    kernelsOf(["resnet18", "float16"]),
    kernelsOf(["resnet18", "bf16"]),
    plainKernels(),
    kernelsOf(["plain_cnn", "tf32", "", "32"]),
    kernelsOf(["resnet18", "float16"], { TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT: "0" }),
  ]);
  const halves = [
    { ...float16.resnet18!, own: "half", other: /bfloat16|BFLOAT16/, eigen: /N5Eigen4half/ },
    { ...bfloat16.resnet18!, own: "bfloat16", other: /4half|DT_HALF/, eigen: /N5Eigen8bfloat16/ },
  ];
  for (const { last, all, own, other, eigen } of halves) {
    assert.equal(last.cudnnBackendExecute, CONVOLUTIONS, own);
    // BatchNorm and pooling describe their activations at each call, convolutions at the first one. Scales, shifts and
    // statistics of BatchNorm stay float32.
    assert.equal(last[`tensor ${own}`], 2 * BATCH_NORMS + 4, own);
    assert.equal(last["tensor float"], 2 * BATCH_NORMS, own);
    const steps = 3;
    assert.ok(all[`tensor ${own}`]! >= steps * last[`tensor ${own}`]! + 3 * CONVOLUTIONS / 2, own);
    assert.equal(all["tensor float"], steps * last["tensor float"]!, `convolutions with ${own}`);
    assert.equal(launches(last, other), 0);
    assert.ok(launches(last, eigen) >= CONVOLUTIONS, "filters are laid out with 16 bits");
    assert.equal(launches(last, TRANSPOSES), 0, "activations stay where they are");
    assert.equal(last.cublasSgemmEx, 3, "the linear layer, forward and backward");
  }
  assert.ok(launches(transposing.resnet18!.last, TRANSPOSES) >= 100);
  const exact = float32.plain_cnn!;
  assert.equal(launches(exact.last, /half|HALF|bfloat16|BFLOAT16/), 0);
  assert.ok(exact.last.cublasSgemm_v2! > 0);
  assert.equal(exact.mathModes, 0, "no product is asked for in TF32");
  assert.ok(tf32.plain_cnn!.mathModes > 0, "cuBLAS is asked for TF32");
  assert.deepEqual(tf32.plain_cnn!.last, exact.last, "the kernels are those of float32");
});

fakeCudaTest("engine.deterministic takes deterministic kernels alone, and times none", async () => {
  const models = "plain_cnn,mobilenet_v2";
  const [results, usual] = await Promise.all([
    kernelsOf([models, "float32", "deterministic", "32"]),
    plainKernels(),
  ]);
  for (const [model, kernels] of Object.entries(results)) {
    assert.equal(typeof kernels, "object", `${model}: ${kernels}`);
    assert.ok(kernels.last.cudnnBackendExecute! > 0, model);
  }
  const executions = ({ last, all }: Kernels) =>
    all.cudnnBackendExecute! - 3 * last.cudnnBackendExecute!;
  assert.equal(executions(results.plain_cnn!), 0, "none but those of the three steps");
  assert.ok(executions(usual.plain_cnn!) > 0, "without it, algorithms are timed");
});
