import assert from "node:assert/strict";
import { profileStep } from "../../src/bench/step_bench.ts";
import { summarizeProfile } from "../../src/bench/step_profile.ts";

const node = (name: string, op: string, milliseconds: number, shape: number[]) => ({
  name,
  op,
  device: "CPU:0",
  start: 0,
  duration: milliseconds * 1e6,
  outputs: [{ dtype: 1, shape }],
});

Deno.test("summarizeProfile() takes medians per node and adds them up per op", () => {
  const run = (factor: number) => ({
    milliseconds: 10 * factor,
    nodes: [
      node("a", "MatMul", 2 * factor, [2, 3]),
      node("b", "MatMul", 1 * factor, [4]),
      node("_arg", "_Arg", 50, [1000]),
    ],
  });
  const evaluation = { milliseconds: 5, nodes: [node("c", "Relu", 3, [8])] };
  const { parts, ops, slowest } = summarizeProfile([
    { part: "forward_backward", runs: [run(1), run(2), run(9)], callMilliseconds: [7, 8, 9] },
    { part: "evaluate", runs: [evaluation], callMilliseconds: [5] },
  ], 2);
  assert.deepEqual(parts[0], {
    part: "forward_backward",
    nodes: 2,
    wallMilliseconds: 20,
    nodeMilliseconds: 6,
    callMilliseconds: 8,
  });
  assert.deepEqual(
    ops.map(({ op, count, milliseconds, share, bytes }) => ({
      op,
      count,
      milliseconds,
      share,
      bytes,
    })),
    [
      { op: "MatMul", count: 2, milliseconds: 6, share: 1, bytes: 40 },
      { op: "Relu", count: 1, milliseconds: 3, share: 1, bytes: 32 },
    ],
  );
  assert.deepEqual(slowest.map(({ node, shapes }) => [node, shapes]), [
    ["a", ["float32 [2,3]"]],
    ["c", ["float32 [8]"]],
  ]);
});

Deno.test("profileStep() shows the kernels of a step and of an evaluation", async () => {
  const profile = await profileStep({
    model: "plain_cnn",
    imageSize: 32,
    batch: 4,
    steps: 3,
    warmup: 1,
    threads: 1,
    capture: true,
  });
  assert.deepEqual(profile.parts.map(({ part }) => part), [
    "images",
    "forward_backward",
    "update",
    "evaluate",
  ]);
  for (const part of profile.parts) {
    assert.ok(part.nodes > (part.part === "update" ? 0 : 3), JSON.stringify(part));
    assert.ok(part.callMilliseconds > 0, JSON.stringify(part));
    // One thread: the nodes run one after the other, within the call.
    assert.ok(part.nodeMilliseconds > 0 && part.nodeMilliseconds < part.wallMilliseconds * 1.5);
  }
  const countOf = (part: string, pattern: RegExp) =>
    profile.ops.filter((row) => row.part === part && pattern.test(row.op))
      .reduce((sum, { count }) => sum + count, 0);
  assert.equal(countOf("forward_backward", /Conv2DBackpropFilter/), 3);
  assert.equal(
    countOf("forward_backward", /Conv2DBackpropInput/),
    2,
    "nobody needs the gradient of the images",
  );
  assert.equal(countOf("evaluate", /Conv2D/), 3);
  for (const isEvaluation of [true, false]) {
    const shares = profile.ops.filter(({ part }) => (part === "evaluate") === isEvaluation)
      .reduce((sum, { share }) => sum + share, 0);
    assert.ok(Math.abs(shares - 1) < 1e-9);
  }
  const { slowest } = profile;
  assert.ok(
    slowest.every(({ milliseconds }, i) => i === 0 || milliseconds <= slowest[i - 1].milliseconds),
  );
  assert.ok(
    slowest.some(({ shapes }) => shapes.includes("float32 [4,32,32,16]")),
    "shapes are known",
  );
});
