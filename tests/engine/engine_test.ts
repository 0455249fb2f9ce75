import assert from "node:assert/strict";
import { ATTRIBUTE_TYPES, DATA_TYPES } from "../../src/engine/binding/attributes.ts";
import { nativeBackend } from "../../src/engine/backend.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { EngineError } from "../../src/engine/binding/status.ts";
import { tf } from "../../src/engine/tf.ts";
import { readInto, tensorFrom } from "../../src/engine/transfer.ts";
import { runDeno } from "../support/run_deno.ts";

const engine = await openEngine();

Deno.test("openEngine() gives the same engine again", async () => {
  assert.equal(await openEngine(), engine);
  assert.equal(tf.getBackend(), "tensorflow");
  assert.match(engine.tensorflowVersion, /^2\.\d+\.\d+/);
  assert.ok(engine.devices.some(({ type }) => type === "CPU"));
});

Deno.test("the kernels of tfjs-node-gpu compute on the engine", () => {
  const product = tf.tidy(() =>
    tf.matMul(tf.tensor2d([[1, 2], [3, 4]]), tf.tensor2d([[1, 1], [0, 2]])).arraySync()
  );
  assert.deepEqual(product, [[1, 5], [3, 11]]);
  const indices = tf.tidy(() => tf.argMax(tf.tensor2d([[1, 3, 2], [9, 0, 1]]), 1).arraySync());
  assert.deepEqual(indices, [1, 0]);
});

Deno.test("dtypes and empty shapes survive the way to TensorFlow and back", () => {
  tf.tidy(() => {
    assert.deepEqual(tf.tensor1d([true, false], "bool").arraySync(), [1, 0]);
    assert.deepEqual(tf.tensor1d([-5, 7], "int32").arraySync(), [-5, 7]);
    assert.deepEqual(tf.zeros([0, 3]).shape, [0, 3]);
    assert.equal(tf.scalar(2.5).arraySync(), 2.5);
  });
});

Deno.test("string tensors hold short and long strings", () => {
  const texts = ["", "abc", "ä 水", "x".repeat(1000)];
  const copies = tf.tidy(() => {
    const tensor = tf.tensor1d(texts, "string");
    return nativeBackend().executeSingleOutput(
      "Identity",
      [{ name: "T", type: ATTRIBUTE_TYPES.TF_ATTR_TYPE, value: DATA_TYPES.TF_STRING }],
      [tensor],
    ).arraySync();
  });
  assert.deepEqual(copies, texts);
});

Deno.test("a native failure is an EngineError with the op, the shapes and the code", () => {
  const run = () =>
    tf.tidy(() =>
      nativeBackend().executeSingleOutput("MatMul", [], [tf.ones([2, 3]), tf.ones([2, 3])])
    );
  assert.throws(run, (error: Error) => {
    assert.ok(error instanceof EngineError);
    assert.equal(error.code, "INVALID_ARGUMENT");
    assert.equal(error.op, "MatMul");
    assert.match(error.message, /MatMul on inputs of shapes \[2,3\], \[2,3\] failed/);
    return true;
  });
  assert.throws(
    () => nativeBackend().executeSingleOutput("NoSuchOp", [], []),
    (error: Error) => error instanceof EngineError && error.op === "NoSuchOp",
  );
});

Deno.test("a released tensor is refused by name", () => {
  const { runtime } = engine;
  const id = runtime.createTensor([1], 1, Float32Array.of(1));
  runtime.deleteTensor(id);
  assert.throws(() => runtime.read(id), EngineError);
});

Deno.test("tensorFrom() and readInto() move bytes as they are", () => {
  const values = Float32Array.of(1.5, -2, 3, 0.1, 5, 6);
  const tensor = tensorFrom([2, 3], "float32", new Uint8Array(values.buffer));
  const copy = new Float32Array(6);
  readInto(tensor, new Uint8Array(copy.buffer));
  assert.deepEqual(copy, values);
  assert.throws(() => readInto(tensor, new Uint8Array(4)), RangeError);
  tensor.dispose();
  assert.throws(() => tensorFrom([3], "float32", new Uint8Array(8)), RangeError);
});

Deno.test("the engine tells nothing on stderr and ends without a crash", async () => {
  const script = `
    const { openEngine } = await import("${new URL(
    "../../src/engine/engine.ts",
    import.meta.url,
  )}");
    const { tf } = await import("${new URL("../../src/engine/tf.ts", import.meta.url)}");
    await openEngine();
    console.log(tf.add(1, 2).arraySync());`;
  const { code, stdout, stderr } = await runDeno(["eval", "--no-check", script]);
  assert.equal(stderr, "");
  assert.equal(stdout, "3\n");
  assert.equal(code, 0);
});

Deno.test("openEngine() names the cure when the library is missing", async () => {
  const script = `
    const { openEngine } = await import("${new URL(
    "../../src/engine/engine.ts",
    import.meta.url,
  )}");
    await openEngine({ libraryPath: "/nowhere/libtensorflow_cc.so.2" }).catch((error) =>
      console.log(error.name, error.exitCode, error.message));`;
  const { stdout } = await runDeno(["eval", "--no-check", script]);
  assert.match(stdout, /^UsageError 2 .*\/nowhere\/libtensorflow_cc\.so\.2.*deno task setup/);
});
