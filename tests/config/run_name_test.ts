import assert from "node:assert/strict";
import { runName, UNNAMED } from "../../src/config/run_name.ts";

Deno.test("runName() is the config's, else that of its images", () => {
  assert.equal(runName({ name: "mine", data: { root: "/x/y" } }), "mine");
  assert.equal(runName({ data: { dataset: "cifar10", root: "/x/y" } }), "cifar10");
  assert.equal(runName({ data: { root: "/photos/My photos" } }), "My photos");
  assert.equal(runName({ data: { root: "/photos/cats.tar.gz" } }), "cats");
  assert.equal(runName({ data: { root: "/photos/cats.ZIP" } }), "cats");
  assert.equal(runName({ data: { module: "./data.ts" } }), UNNAMED);
  assert.equal(runName({}), UNNAMED);
  assert.equal(runName({ name: 5 }), 5, "the schema says what is wrong with it");
});
