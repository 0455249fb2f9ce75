import assert from "node:assert/strict";
import { openEngine } from "../../../src/engine/engine.ts";
import {
  nativeVariable,
  setNativeVariables,
} from "../../../src/engine/binding/native_environment.ts";

Deno.test("setNativeVariables() gives native code its variables, and leaves those that stand", () => {
  const name = "LOCKSTEP_TEST_VARIABLE";
  assert.equal(nativeVariable(name), undefined);
  setNativeVariables({ [name]: "first" }, false);
  setNativeVariables({ [name]: "second" }, false);
  assert.equal(nativeVariable(name), "first");
  setNativeVariables({ [name]: "third" }, true);
  assert.equal(nativeVariable(name), "third");
});

Deno.test("openEngine() asks for oneDNN's kernels on every x86 CPU", {
  ignore: Deno.build.arch !== "x86_64",
}, async () => {
  await openEngine();
  assert.match(nativeVariable("TF_ENABLE_ONEDNN_OPTS") ?? "", /^[01]$/);
});
