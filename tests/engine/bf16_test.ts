import assert from "node:assert/strict";
import { checkBf16, hasBf16, parseCpuInfo, readCpu } from "../../src/engine/bf16.ts";
import { CapturedFunction } from "../../src/engine/capture/capture.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";

await openEngine();

const SAPPHIRE_RAPIDS = `processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16 amx_tile

processor\t: 1
flags\t\t: fpu
`;
const MILAN = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nflags\t\t: fpu avx avx2\n";

Deno.test("hasBf16() looks for products of bfloat16 in the first processor's flags", () => {
  const { model, flags } = parseCpuInfo(SAPPHIRE_RAPIDS);
  assert.equal(model, "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz");
  assert.equal(hasBf16({ model, flags }), true);
  assert.equal(hasBf16(parseCpuInfo(MILAN)), false);
  assert.equal(hasBf16(parseCpuInfo("Features : fp asimd bf16 i8mm\n")), true);
  assert.equal(parseCpuInfo("").model, "unknown CPU");
});

Deno.test("readCpu() reads this machine's processor", { ignore: Deno.build.os !== "linux" }, () => {
  const cpu = readCpu()!;
  assert.ok(cpu.flags.size > 3, `flags: ${[...cpu.flags]}`);
});

Deno.test("checkBf16() warns where bfloat16 isn't in hardware, and refuses a GPU", () => {
  assert.equal(checkBf16(false, parseCpuInfo(SAPPHIRE_RAPIDS)), undefined);
  assert.match(
    checkBf16(false, parseCpuInfo(MILAN))!,
    /^engine\.precision is bf16, but AMD EPYC 7B13 has neither AMX nor AVX512-BF16: .* set engine\.precision to float32$/,
  );
  assert.throws(() => checkBf16(true, parseCpuInfo(SAPPHIRE_RAPIDS)), /CPUs only: set engine\.pre/);
});

Deno.test("CapturedFunction with bf16 multiplies bfloat16, and gives float32", async () => {
  const weights = tf.variable(tf.randomNormal([3, 3, 8, 16], 0, 1, "float32", 1), false);
  const make = (precision: "float32" | "bf16") =>
    new CapturedFunction(
      "convolve",
      (x) => [tf.conv2d(x as tf.Tensor4D, weights as tf.Tensor4D, 1, "same")],
      { variables: () => [weights], capture: true, precision },
    );
  const x = tf.randomNormal([2, 8, 8, 8], 0, 1, "float32", 2);
  const [exact, rounded] = [make("float32"), make("bf16")];
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
