import assert from "node:assert/strict";
import { hasBfloat16, parseCpuInfo, readCpu } from "../../src/engine/cpu_facts.ts";
import { CapturedFunction } from "../../src/engine/capture/capture.ts";
import { setNativeVariables } from "../../src/engine/binding/native_environment.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { numericVariables } from "../../src/engine/numerics.ts";
import {
  checkPrecision,
  precisionNamed,
  PRECISIONS,
  scoringPrecision,
} from "../../src/engine/precision.ts";
import { tf } from "../../src/engine/tf.ts";

await openEngine({ device: "cpu" });

const SAPPHIRE_RAPIDS = `processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16 amx_tile

processor\t: 1
flags\t\t: fpu
`;
const MILAN = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nflags\t\t: fpu avx avx2\n";

Deno.test("hasBfloat16() looks for products of bfloat16 in the first processor's flags", () => {
  const { model, flags } = parseCpuInfo(SAPPHIRE_RAPIDS);
  assert.equal(model, "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz");
  assert.equal(hasBfloat16({ model, flags }), true);
  assert.equal(hasBfloat16(parseCpuInfo(MILAN)), false);
  assert.equal(hasBfloat16(parseCpuInfo("Features : fp asimd bf16 i8mm\n")), true);
  assert.equal(parseCpuInfo("").model, "unknown CPU");
});

Deno.test("readCpu() reads this machine's processor", { ignore: Deno.build.os !== "linux" }, () => {
  const cpu = readCpu()!;
  assert.ok(cpu.flags.size > 3, `flags: ${[...cpu.flags]}`);
});

const T4 = { name: "Tesla T4", computeCapability: 7.5 };
const A100 = { name: "NVIDIA A100-SXM4-40GB", computeCapability: 8 };
const P100 = { name: "Tesla P100", computeCapability: 6 };

Deno.test("precisionNamed() knows today's names and the one of before", () => {
  for (const name of PRECISIONS) assert.equal(precisionNamed(name), name);
  assert.equal(precisionNamed("bf16"), "bfloat16");
  for (const name of ["fp16", "Float32", "constructor", ""]) {
    assert.equal(precisionNamed(name), undefined, name);
  }
});

Deno.test("checkPrecision() on the CPU warns of slow formats, and refuses TF32", () => {
  const [fast, slow] = [SAPPHIRE_RAPIDS, MILAN].map(parseCpuInfo);
  assert.equal(checkPrecision("float32", [], slow), undefined);
  assert.equal(checkPrecision("bfloat16", [], fast), undefined);
  assert.match(
    checkPrecision("bfloat16", [], slow)!,
    /^engine\.precision is bfloat16, but AMD EPYC 7B13 has neither AMX nor AVX512-BF16: .* set engine\.precision to float32$/,
  );
  assert.match(
    checkPrecision("float16", [], fast)!,
    /Xeon.* converts to float32 .* many times longer/,
  );
  assert.throws(
    () => checkPrecision("tf32", [], fast),
    /^UsageError: engine\.precision is tf32, which only GPUs have.*: set engine\.precision to float32$/,
  );
});

Deno.test("checkPrecision() refuses a format that one of the GPUs lacks, by name", () => {
  setNativeVariables({ NVIDIA_TF32_OVERRIDE: "1" }, true); // whatever an engine has set before
  for (const precision of PRECISIONS) assert.equal(checkPrecision(precision, [A100]), undefined);
  for (const precision of ["tf32", "bfloat16"] as const) {
    assert.throws(
      () => checkPrecision(precision, [A100, T4]),
      new RegExp(
        `^UsageError: .*${precision}.* from compute capability 8\\.0 on, but Tesla T4 has .*7\\.5: set `,
      ),
    );
    assert.equal(checkPrecision(precision, [{ name: "unknown to the driver" }]), undefined);
  }
  assert.equal(checkPrecision("float16", [T4]), undefined);
  assert.match(
    checkPrecision("float16", [P100])!,
    /from compute capability 7\.0 on, but Tesla P100/,
  );
  assert.equal(checkPrecision("float32", [P100]), undefined);
});

Deno.test("scoringPrecision() is float32 where a model's own format isn't to be had", () => {
  const cpu = parseCpuInfo(SAPPHIRE_RAPIDS);
  assert.deepEqual(scoringPrecision("bfloat16", [A100]), { precision: "bfloat16" });
  assert.deepEqual(scoringPrecision("bfloat16", [], cpu), { precision: "bfloat16" });
  const { precision, note } = scoringPrecision("bfloat16", [A100, T4]);
  assert.equal(precision, "float32");
  assert.match(
    note!,
    /^The model was trained with engine\.precision bfloat16, .* on NVIDIA A100.*, Tesla T4: it/,
  );
  assert.equal(scoringPrecision("tf32", [], cpu).precision, "float32");
  const slow = scoringPrecision("float16", [], cpu);
  assert.equal(slow.precision, "float16");
  assert.match(slow.note!, /many times longer/);
});

Deno.test("numericVariables() turns TF32 off unless it is wanted, and pins what is timed", () => {
  const { required, preferred } = numericVariables({}, true);
  assert.deepEqual([required, preferred], [{ NVIDIA_TF32_OVERRIDE: "0" }, {}]);
  assert.deepEqual(numericVariables({ precision: "tf32" }, true), { required: {}, preferred: {} });
  assert.deepEqual(numericVariables({}, false).required, {}, "workers would inherit it");
  for (const precision of ["float16", "bfloat16"] as const) {
    assert.deepEqual(numericVariables({ precision }, true).preferred, {
      TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT: "1",
    });
  }
  assert.deepEqual(numericVariables({ deterministic: true }, true).required, {
    NVIDIA_TF32_OVERRIDE: "0",
    TF_DETERMINISTIC_OPS: "1",
    TF_CUDNN_DETERMINISTIC: "1",
    TF_CUDNN_USE_AUTOTUNE: "0",
    TF_MATMUL_AUTOTUNE_ENABLE: "0",
  });
});

Deno.test("CapturedFunction with bfloat16 multiplies bfloat16, and gives float32", async () => {
  const weights = tf.variable(tf.randomNormal([3, 3, 8, 16], 0, 1, "float32", 1), false);
  const make = (precision: "float32" | "bfloat16") =>
    new CapturedFunction(
      "convolve",
      (x) => [tf.conv2d(x as tf.Tensor4D, weights as tf.Tensor4D, 1, "same")],
      { variables: () => [weights], capture: true, precision },
    );
  const x = tf.randomNormal([2, 8, 8, 8], 0, 1, "float32", 2);
  const [exact, rounded] = [make("float32"), make("bfloat16")];
  const [[a], [b]] = [await exact.call([x]), await rounded.call([x])];
  assert.equal(b.dtype, "float32");
  const error = tf.tidy(() => tf.div(tf.norm(tf.sub(a, b)), tf.norm(a)).dataSync()[0]);
  // A factor has 8 significant bits: it is off by up to 2⁻⁹ of itself.
  assert.ok(error > 1e-4 && error < 1e-2, `off by ${error}`);

  const typesOf = async (fn: CapturedFunction) => {
    const [run] = await fn.profile([x], 1);
    const convolution = run.nodes.find(({ op }) => /Conv2D/.test(op))!;
    return [convolution.outputs[0].dtype, run.nodes.some(({ op }) => /Cast/.test(op))];
  };
  assert.deepEqual(await typesOf(exact), [1, false]);
  assert.deepEqual(await typesOf(rounded), [14, true], "the profile shows bfloat16 (14) and casts");
  exact.dispose();
  rounded.dispose();
  tf.dispose([weights, x, a, b]);
});
