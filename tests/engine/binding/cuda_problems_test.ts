import assert from "node:assert/strict";
import {
  capabilityProblem,
  cudaProblem,
  cudaProblemIn,
  noGpu,
  nvmlMissing,
  nvmlProblem,
  shownCuda,
} from "../../../src/engine/binding/cuda_problems.ts";

Deno.test("cudaProblem() has a sentence with a cure for each result that a machine's state explains", () => {
  const cures: [number, RegExp][] = [
    [2, /too little free memory.*nvidia-smi/],
    [34, /stub of a CUDA toolkit.*LD_LIBRARY_PATH/],
    [46, /compute mode admits one process or none.*nvidia-smi -c DEFAULT/],
    [101, /no GPU of the number.*correct --devices/],
    [218, /can't compile TensorFlow's kernels \(PTX 8\.5\).*555\.42\.02/],
    [221, /libnvidia-ptxjitcompiler\.so\.1, is missing/],
    [222, /too old to compile TensorFlow's kernels \(PTX 8\.5\).*570\.26/],
    [802, /Fabric Manager must run \(systemctl start nvidia-fabricmanager/],
    [803, /different versions.*reboot/],
    [804, /cuda-compat/],
    [999, /modprobe.*reboot/],
  ];
  for (const [code, pattern] of cures) {
    const sentence = cudaProblem(code, "cuInit");
    assert.match(sentence, pattern);
    assert.match(
      sentence,
      new RegExp(`, or set device to cpu \\(CUDA error ${code}, CUDA_ERROR_\\w+, of cuInit\\)$`),
    );
  }
  assert.match(
    cudaProblem(4711, "cuInit"),
    /^NVIDIA's driver has failed \(CUDA error 4711, of cuInit/,
  );
});

Deno.test("noGpu() tells a mask, MIG mode without instances and a missing card apart", () => {
  const begins = (situation: Parameters<typeof noGpu>[0], begin: string) =>
    assert.equal(noGpu(situation).slice(0, begin.length), begin);
  begins({ gpuCount: 4, migCount: 0, mask: "-1" }, 'CUDA_VISIBLE_DEVICES is "-1" and leaves none');
  begins({ gpuCount: 4, migCount: 0, mask: "" }, 'CUDA_VISIBLE_DEVICES is "" and leaves none');
  begins({ gpuCount: 1, migCount: 1 }, "The GPU is in MIG mode without instances");
  const uuid = "GPU-10000000-aaaa-bbbb-cccc-dddddddddddd";
  begins({ gpuCount: 2, migCount: 0, mask: uuid }, `CUDA doesn't find ${uuid}, the GPU that`);
  begins({ gpuCount: 1, migCount: 1, mask: uuid }, "The GPU is in MIG mode without instances");
  begins({ gpuCount: 2, migCount: 2, mask: "0,1" }, "The GPU is in MIG mode without instances");
  begins({ gpuCount: 0, migCount: 0 }, "NVIDIA's driver finds no GPU");
  begins({ gpuCount: 2, migCount: 0 }, "CUDA finds no GPU");
  begins({}, "CUDA finds no GPU");
  assert.equal(
    cudaProblem(100, "cuInit", { gpuCount: 1, migCount: 1 }),
    noGpu({ gpuCount: 1, migCount: 1 }),
  );
});

Deno.test("cudaProblemIn() finds CUDA's errors in TensorFlow's texts", () => {
  const texts: [string, RegExp | undefined][] = [
    [
      "INTERNAL: CUDA error: CUDA_ERROR_UNSUPPORTED_PTX_VERSION: the provided PTX was compiled",
      /too old to compile/,
    ],
    [
      "cudaSetDevice() on GPU:0 failed. Status: CUDA-capable device(s) is/are busy or unavailable",
      /compute mode/,
    ],
    ["all CUDA-capable devices are busy or unavailable", /compute mode/],
    [
      "failed to enqueue async memcpy: CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure",
      /fallen off the bus/,
    ],
    ["CUDA_ERROR_OUT_OF_MEMORY: out of memory", undefined],
    ["OOM when allocating tensor with shape[32,64]", undefined],
    ["Incompatible shapes: [2] vs. [3]", undefined],
  ];
  for (const [text, expected] of texts) {
    if (expected) assert.match(cudaProblemIn(text)!, expected);
    else assert.equal(cudaProblemIn(text), undefined);
  }
});

Deno.test("capabilityProblem() names both versions of a driver that is too old for a GPU", () => {
  const gpu = (computeCapability: number) => ({ name: "NVIDIA X", computeCapability });
  assert.equal(capabilityProblem(gpu(8.0), 12_000, "525.60.13"), undefined);
  assert.equal(capabilityProblem(gpu(9.0), 12_050, undefined), undefined);
  assert.equal(capabilityProblem(gpu(12.0), 12_080, undefined), undefined);
  assert.equal(
    capabilityProblem(gpu(9.0), 12_040, "550.54.15"),
    "The driver 550.54.15 (CUDA 12.4) is too old for NVIDIA X: compiling TensorFlow's PTX 8.5 for it needs 555.42.02 or " +
      "newer (CUDA 12.5); update the driver, or set device to cpu",
  );
  assert.match(
    capabilityProblem(gpu(8.9), 11_080, undefined)!,
    /^The driver of CUDA 11\.8 is too old for NVIDIA X: CUDA 12 needs 525\.60\.13 or newer/,
  );
  assert.match(
    capabilityProblem(gpu(5.2), 12_080, "570.1")!,
    /compute capability 5\.2, and .* begin at 6\.0/,
  );
  assert.equal(shownCuda(12_080), "12.8");
});

Deno.test("NVML's problems name the container's setting and the reboot", () => {
  assert.match(
    nvmlMissing("no such file"),
    /NVIDIA_DRIVER_CAPABILITIES=compute,utility.*\(no such file\)$/,
  );
  assert.match(
    nvmlProblem(18),
    /different versions.*: reboot, or set device to cpu \(NVML error 18/,
  );
  assert.match(nvmlProblem(9), /isn't loaded/);
  assert.match(nvmlProblem(77), /doesn't start: look at nvidia-smi.*\(NVML error 77/);
});
