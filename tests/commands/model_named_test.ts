import assert from "node:assert/strict";
import { modelNamed } from "../../src/commands/model_named.ts";

Deno.test("modelNamed() knows the architectures, and names the nearest one, or all", () => {
  assert.equal(modelNamed("resnet18"), "resnet18");
  assert.throws(() => modelNamed("resnet81"), /Unknown model "resnet81": did you mean resnet\d+\?/);
  assert.throws(
    () => modelNamed("transformer"),
    /Unknown model "transformer": known are .*resnet18/,
  );
});
