import assert from "node:assert/strict";
import fc from "fast-check";
import { delay } from "../../src/base/async.ts";
import { type NarrowDtype, narrowingBound, ROUNDING } from "../../src/exchange/narrow.ts";
import {
  contribution,
  FLOATS,
  floatsOf,
  oneStep,
  openBench,
  reduceScatter,
  reference,
  type TestContribution,
  wireOf,
} from "../support/exchange_bench.ts";
import { startPlainRig, startPlainServer, startRig } from "../support/nats_server.ts";

const DTYPES: readonly NarrowDtype[] = ["float16", "bfloat16"];

/** Checks a sum against the float32 one, value by value; the tail must have the same bits. */
function checkBound(
  sum: Float32Array,
  contributions: readonly TestContribution[],
  { dtype, gradientBytes }: { dtype: NarrowDtype; gradientBytes: number },
): void {
  const exact = reference(contributions);
  const gradients = gradientBytes / 4;
  assert.deepEqual(sum.slice(gradients), exact.slice(gradients), "the tail travels as float32");
  const vectors = contributions.map(({ vector }) => floatsOf(vector));
  const total = contributions.reduce((all, { weight }) => all + weight, 0);
  for (let index = 0; index < gradients; index++) {
    const magnitude = contributions.reduce(
      (all, { weight }, rank) => all + weight / total * Math.abs(vectors[rank][index]),
      0,
    );
    const error = Math.abs(sum[index] - exact[index]);
    if (error <= narrowingBound(dtype, magnitude)) continue;
    assert.fail(`value ${index}: ${sum[index]} instead of ${exact[index]}`);
  }
}

for (const dtype of DTYPES) {
  for (const worldSize of [1, 2, 3, 4]) {
    Deno.test(`${worldSize} ranks get the same bits within the bound, statistics untouched (${dtype})`, async () => {
      await using rig = await startRig();
      const wire = { ...wireOf(dtype), dtype };
      await using bench = await openBench(rig, "nats", { worldSize: worldSize, wire });
      const sums: Float32Array[] = [];
      for (const step of [0, 1]) {
        const contributions = Array.from(
          { length: worldSize },
          (_, rank) => ({ ...contribution(rank, 0, 5 + 3 * rank), step }),
        );
        const [totals, ...results] = await oneStep(bench, contributions);
        assert.equal(totals.finite, true);
        assert.equal(totals.tooLargeFor, undefined);
        for (const { vector } of results) assert.deepEqual(vector, results[0].vector);
        sums.push(floatsOf(results[0].vector));
        assert.deepEqual(sums[step], reference(contributions, wire));
        checkBound(sums[step], contributions, wire);
      }
      assert.deepEqual(sums[1], sums[0], "the same vectors give the same bits again");
      assert.notDeepEqual(sums[0], reference([contribution(0, 0, 1)]), "nothing was narrowed");
    });
  }

  Deno.test(`sums of any finite vectors stay within the bound (${dtype})`, async () => {
    const floats = 257;
    const wire = { dtype, gradientBytes: 4 * (floats - 17) };
    const { largest } = ROUNDING[dtype];
    // Values of all sizes, denormal ones too; magnitudes such that a rank's rounding can't overflow.
    const value = fc.oneof(
      fc.float({ noNaN: true, min: Math.fround(-largest), max: Math.fround(largest) }),
      fc.tuple(fc.float({ noNaN: true, min: -1, max: 1 }), fc.integer({ min: -140, max: 15 }))
        .map(([fraction, exponent]) => Math.fround(fraction * 2 ** exponent)),
      fc.constantFrom(0, -0, 1e-45, -1e-40, 2 ** -24, 2 ** -25, 6e-8, largest, -largest),
    );
    const vector = fc.array(value, { minLength: floats, maxLength: floats });
    await using rig = await startRig();
    for (const worldSize of [1, 2, 3, 4]) {
      await using bench = await openBench(rig, "nats", {
        worldSize: worldSize,
        vectorBytes: 4 * floats,
        wire,
      });
      let step = 0;
      const ranks = fc.array(fc.tuple(vector, fc.integer({ min: 1, max: 64 })), {
        minLength: worldSize,
        maxLength: worldSize,
      });
      const check = async (drawn: [number[], number][]) => {
        const place = { epoch: 1, step: step++, lossSum: 1, correct: 0 };
        const contributions = drawn.map(([values, samples]) => ({
          ...place,
          ...{ samples, weight: samples },
          vector: new Uint8Array(Float32Array.from(values).buffer),
        }));
        const [totals, ...results] = await oneStep(bench, contributions);
        assert.equal(totals.finite, true);
        for (const result of results) assert.deepEqual(result.vector, results[0].vector);
        checkBound(floatsOf(results[0].vector), contributions, wire);
      };
      await fc.assert(fc.asyncProperty(ranks, check), { numRuns: 25, endOnFailure: true });
    }
  });

  Deno.test(`reduce() tells what is too large for ${dtype} from what is infinite or NaN`, async () => {
    await using rig = await startRig();
    await using bench = await openBench(rig, "nats", { worldSize: 3, wire: wireOf(dtype) });
    const poisoned = (rank: number, step: number, value: number, index: number) => {
      const own = contribution(rank, step, 4);
      new Float32Array(own.vector.buffer)[index] = value;
      return own;
    };
    const tooLarge = 3.4e38;
    const cases = [
      { value: tooLarge, index: 700_000, tooLargeFor: dtype },
      { value: -tooLarge, index: 0, tooLargeFor: dtype },
      { value: Infinity, index: 700_000, tooLargeFor: undefined },
      { value: NaN, index: 3, tooLargeFor: undefined },
      { value: -Infinity, index: FLOATS - 1, tooLargeFor: undefined }, // among the statistics
    ];
    for (const [step, { value, index, tooLargeFor }] of cases.entries()) {
      const [totals, ...results] = await oneStep(bench, [
        contribution(0, step, 4),
        poisoned(1, step, value, index),
        poisoned(2, step, value, index),
      ]);
      assert.deepEqual(
        [totals.finite, totals.worstRank, totals.tooLargeFor],
        [false, 1, tooLargeFor],
        `${value} at ${index}`,
      );
      assert.ok(results.every(({ finite }) => !finite));
    }
    // A statistic that no 16 bits could hold is none of their business.
    const step = cases.length;
    const large = [0, 1, 2].map((rank) => poisoned(rank, step, 1e38, FLOATS - 1));
    const [totals, { vector }] = await oneStep(bench, large);
    assert.deepEqual([totals.finite, totals.tooLargeFor], [true, undefined]);
    assert.equal(floatsOf(vector)[FLOATS - 1], reference(large)[FLOATS - 1]);
  });
}

Deno.test("reduce() refuses a rank that sends another dtype or narrows other bytes, with both values", async () => {
  await using rig = await startRig();
  const wire = { dtype: "bfloat16", gradientBytes: 4000 } as const;
  await using bench = await openBench(rig, "nats", { worldSize: 2, vectorBytes: 8000, wire });
  const cases = [
    {
      wire: { dtype: "float16", gradientBytes: 4000 },
      message: "Rank 1 sends its gradients as float16, the coordinator expects bfloat16: " +
        "their configs differ in nats.gradientDtype",
    },
    {
      wire: undefined,
      message: "Rank 1 sends its gradients as float32, the coordinator expects bfloat16: " +
        "their configs differ in nats.gradientDtype",
    },
    {
      wire: { dtype: "bfloat16", gradientBytes: 8000 },
      message: "Rank 1 sends 8000 bytes of its vector as bfloat16, the coordinator expects 4000: " +
        "their models differ",
    },
  ] as const;
  for (const [step, { wire: other, message }] of cases.entries()) {
    await using wrong = await openBench(rig, "nats", {
      worldSize: 2,
      vectorBytes: 8000,
      wire: other,
    });
    const reduced = bench.reducer.reduce({ epoch: 1, step }, () => "continue");
    const failure = assert.rejects(reduced, { name: "LockstepError", message });
    const stop = new AbortController();
    const sent = reduceScatter(wrong.ranks[1], contribution(1, step, 4, 2000), stop.signal);
    await failure;
    stop.abort(new Error("refused"));
    await assert.rejects(sent, { message: "refused" });
  }
});

Deno.test("narrowed steps go on when the server was killed and started again", async () => {
  await using rig = await startPlainRig();
  const port = Number(new URL(rig.server.url.replace("nats:", "http:")).port);
  const wire = wireOf("bfloat16");
  await using bench = await openBench(rig, "nats", { worldSize: 2, wire });
  const steps = 40;
  const restart = (async () => {
    await delay(300);
    await rig.server[Symbol.asyncDispose]();
    await delay(300);
    return await startPlainServer("", port);
  })();
  for (let step = 0; step < steps; step++) {
    const contributions = [0, 1].map((rank) => contribution(rank, step, 4));
    const [, first, second] = await oneStep(bench, contributions);
    assert.deepEqual(floatsOf(first.vector), reference(contributions, wire));
    assert.deepEqual(first.vector, second.vector);
  }
  rig.server = await restart;
});
