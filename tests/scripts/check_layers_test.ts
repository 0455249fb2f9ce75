import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { checkLayers, findCycles } from "../../scripts/check_layers.ts";
import { PROJECT_ROOT } from "../../scripts/files.ts";

/** Makes a project of the given files, checks it, and removes it. */
async function check(files: Record<string, string>): Promise<string[]> {
  const root = await Deno.makeTempDir({ prefix: "lockstep layers ü-" });
  try {
    for (const [path, text] of Object.entries({ "deno.json": "{}", ...files })) {
      await Deno.mkdir(dirname(join(root, path)), { recursive: true });
      await Deno.writeTextFile(join(root, path), text);
    }
    return await checkLayers(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const LEAF = "export const leaf = 1;\nexport type Leaf = number;\n";

Deno.test("checkLayers() accepts imports that go down, within a folder, and from entries", async () => {
  const violations = await check({
    "src/base/a.ts": LEAF,
    "src/base/b.ts": `export * from "./a.ts";\n`,
    "src/engine/tf.ts": `import { leaf } from "../base/b.ts";\nexport const one = leaf;\n`,
    "src/cli.ts": `export const load = () => import("./engine/tf.ts");\n`,
    "workers/trainer.ts": `import { one } from "../src/engine/tf.ts";\none;\n`,
    "mod.ts": `export { one } from "./src/engine/tf.ts";\n`,
  });
  assert.deepEqual(violations, []);
});

Deno.test("checkLayers() refuses bare names, and packages without an exact version", async () => {
  const ways = "packages are imported by way of a file of src/deps/";
  const violations = await check({
    "deno.json": `{ "imports": { "leaf": "./src/deps/leaf.ts" } }`,
    "src/deps/leaf.ts": LEAF,
    "src/deps/loose.ts": `export type { z } from "npm:zod@4";\n`,
    "src/base/bare.ts": `import { leaf } from "leaf";\nleaf;\n`,
    "src/base/node.ts": `export { join } from "node:path";\n`,
    "mod.ts": `export type { z } from "npm:zod@4.6.7";\n`,
  });
  assert.deepEqual(violations, [
    `mod.ts imports npm:zod@4.6.7: ${ways}`,
    `src/base/bare.ts imports leaf: ${ways}`,
    "src/deps/loose.ts imports npm:zod@4: name a package of npm with an exact version, such as npm:zod@4.6.7",
  ]);
});

const BROKEN: [string, string, string][] = [
  ["an import", "src/base/low.ts", `import { leaf } from "../models/leaf.ts";\nleaf;\n`],
  ["a type-only import", "src/base/low.ts", `export type { Leaf } from "../models/leaf.ts";\n`],
  ["a type query", "src/base/low.ts", `export type M = typeof import("../models/leaf.ts");\n`],
  ["a dynamic import", "src/base/low.ts", `await import("../models/leaf.ts");\n`],
  ["a re-export", "src/base/low.ts", `export * from "../models/leaf.ts";\n`],
];
for (const [kind, path, text] of BROKEN) {
  Deno.test(`checkLayers() finds ${kind} that goes up`, async () => {
    assert.deepEqual(await check({ "src/models/leaf.ts": LEAF, [path]: text }), [
      "src/base/low.ts → src/models/leaf.ts: base (level 1) imports models (level 4); " +
      "imports go strictly downward",
    ]);
  });
}

Deno.test("checkLayers() finds an import between folders of one level", async () => {
  const violations = await check({
    "src/data/photo.ts": LEAF,
    "src/models/net.ts": `import "../data/photo.ts";\n`,
  });
  assert.deepEqual(violations, [
    "src/models/net.ts → src/data/photo.ts: models and data are both on level 4; " +
    "folders on one level never import each other",
  ]);
});

Deno.test("checkLayers() keeps configs and training out of the cluster", async () => {
  const violations = await check({
    "src/config/schema.ts": LEAF,
    "src/train/job.ts": LEAF,
    "src/cluster/cluster.ts":
      `import type { Leaf } from "../train/job.ts";\nexport type * from "../config/schema.ts";\n`,
  });
  assert.deepEqual(violations, [
    "src/cluster/cluster.ts → src/config/schema.ts: cluster and config are both on level 6; " +
    "folders on one level never import each other",
    "src/cluster/cluster.ts → src/train/job.ts: cluster (level 6) imports train (level 7); " +
    "imports go strictly downward",
  ]);
});

Deno.test("checkLayers() finds a source file that imports an entry", async () => {
  const [violation, ...rest] = await check({
    "src/worker/join.ts": `import "../../workers/trainer.ts";\n`,
    "workers/trainer.ts": LEAF,
  });
  assert.match(violation, /^src\/worker\/join\.ts → workers\/trainer\.ts: .* strictly downward$/);
  assert.equal(rest.length, 0);
});

Deno.test("checkLayers() finds files of one folder that import each other in a circle", async () => {
  const violations = await check({
    "src/engine/a.ts": `import "./b.ts";\n`,
    "src/engine/b.ts": `import("./c.ts");\n`,
    "src/engine/c.ts": `export type * from "./a.ts";\n`,
    "src/engine/outside.ts": `import "./a.ts";\n`,
  });
  assert.deepEqual(violations, [
    "src/engine/a.ts → src/engine/b.ts → src/engine/c.ts → src/engine/a.ts: files import each " +
    "other in a circle; move what both need into a file of its own",
  ]);
});

Deno.test("checkLayers() finds a missing file, and a folder without a level", async () => {
  const [missing, unknown, ...rest] = await check({
    "src/base/a.ts": `import "./gone.ts";\n`,
    "src/extra/b.ts": LEAF,
  });
  assert.match(missing, /^src\/base\/a\.ts → \.\/gone\.ts: Module not found/);
  assert.equal(
    unknown,
    "src/extra/b.ts: src/extra has no level; add it to LEVELS in check_layers.ts",
  );
  assert.equal(rest.length, 0);
});

Deno.test("findCycles() finds each separate circle once, and a file that imports itself", () => {
  const graph = new Map([
    ["a", ["b", "c"]],
    ["b", ["a"]],
    ["c", ["d"]],
    ["d", ["d"]],
    ["e", ["f", "a"]],
    ["f", ["e"]],
    ["g", ["a", "e"]],
  ]);
  assert.deepEqual(findCycles(graph).sort(), [["a", "b"], ["d"], ["e", "f"]]);
});

Deno.test("checkLayers() finds nothing wrong with Lockstep itself", async () => {
  assert.deepEqual(await checkLayers(PROJECT_ROOT), []);
});

Deno.test("checkLayers() holds the folders inside of data and engine to their levels, too", async () => {
  const violations = await check({
    "src/data/loading/loader.ts": LEAF + `import "../codecs/decode.ts";\n`,
    "src/data/codecs/decode.ts": `import "../transforms/mix.ts";\n`,
    "src/data/transforms/mix.ts": LEAF,
    "src/data/odd/a.ts": `import "../codecs/bits.ts";\n`,
    "src/data/codecs/bits.ts": LEAF,
  });
  assert.deepEqual(violations, [
    "src/data/codecs/decode.ts → src/data/transforms/mix.ts: data/codecs (level 0) imports " +
    "data/transforms (level 2); imports go strictly downward",
    "src/data/odd/a.ts → src/data/codecs/bits.ts: src/data/odd has no level; " +
    "add it to INNER_LEVELS in check_layers.ts",
  ]);
});
