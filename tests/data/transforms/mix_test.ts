import assert from "node:assert/strict";
import fc from "fast-check";
import fixtures from "../../fixtures/data/mixes.json" with { type: "json" };
import { randomStream } from "../../../src/base/random.ts";
import {
  cutMixAt,
  drawMix,
  mixableRows,
  mixesSchema,
  mixRows,
  type MixSpec,
  randomBeta,
  randomGamma,
} from "../../../src/data/transforms/mix.ts";
import { FloatTable } from "../../../src/data/transforms/normalize.ts";
import { noise, shortDigest } from "../noise.ts";

const BOTH: MixSpec[] = [{ MixUp: { alpha: 0.2 } }, { CutMix: { alpha: 1 } }];

/** Mean and variance of many numbers. */
function momentsOf(draw: () => number, count = 20_000): [mean: number, variance: number] {
  const values = Array.from({ length: count }, draw);
  const mean = values.reduce((sum, value) => sum + value) / count;
  return [mean, values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count];
}

Deno.test("mixRows() gives the pixels and labels of torchvision's MixUp and CutMix to the bit", () => {
  const table = new FloatTable();
  for (const { name, width, height, share, box, ownShare, labels, sha256 } of fixtures.mixes) {
    const floats = height * width * 3;
    const images = new Float32Array(5 * floats);
    // Four rows, and the last one again before the first.
    [0, 1, 2, 3, 3].forEach((seed, row) => {
      table.write(noise(width, height, seed), images, row * floats);
    });
    const mix = name === "MixUp" ? { share } : { share: ownShare!, box: box! };
    const mixed = mixableRows(new Array(5).fill(true));
    assert.deepEqual(mixed, [true, true, true, true]);
    mixRows(images, [height, width], mixed, mix);
    assert.equal(shortDigest(images.subarray(0, 4 * floats)), sha256, `${name} ${share}`);
    labels.forEach((row, own) => {
      const expected = [0, 0, 0, 0];
      expected[own] += Math.fround(mix.share);
      expected[(own + 3) % 4] += Math.fround(1 - mix.share);
      assert.deepEqual(row, expected, `${name} ${share}`);
    });
  }
});

Deno.test("cutMixAt() gives torchvision's box and share", () => {
  for (const { width, height, share, x, y, box, ownShare } of fixtures.boxes) {
    assert.deepEqual(cutMixAt([height, width], share, x, y), { box, share: ownShare });
  }
});

Deno.test("mixRows() leaves a row alone whose partner is missing", () => {
  const images = Float32Array.of(1, 1, 1, 2, 2, 2, 3, 3, 3, 9, 9, 9);
  const mixed = mixableRows([true, true, false, false]);
  assert.deepEqual(mixed, [false, true, false]);
  mixRows(images, [1, 1], mixed, { share: 0.25 });
  assert.deepEqual([...images.subarray(0, 6)], [1, 1, 1, 1.25, 1.25, 1.25]);
});

Deno.test("drawMix() chooses each as often, within its range, by the stream's keys alone", () => {
  const random = randomStream(3);
  const drawn = Array.from({ length: 1000 }, () => drawMix(BOTH, [40, 60], random)!);
  for (const { share, box } of drawn) {
    assert.ok(share >= 0 && share <= 1);
    if (!box) continue;
    assert.ok(box.left >= 0 && box.top >= 0 && box.left + box.width <= 60);
    assert.ok(box.top + box.height <= 40);
    assert.ok(Math.abs(share - (1 - box.width * box.height / 2400)) < 1e-12);
  }
  const boxes = drawn.filter(({ box }) => box).length;
  assert.ok(boxes > 440 && boxes < 560, String(boxes));
  assert.deepEqual(
    drawMix(BOTH, [4, 6], randomStream(1, 2)),
    drawMix(BOTH, [4, 6], randomStream(1, 2)),
  );
  assert.equal(drawMix([], [4, 6], random), undefined);
});

Deno.test("randomGamma() has the mean and the variance of its shape", () => {
  for (const shape of [1, 1.2, 2.5, 9]) {
    const random = randomStream(6, shape * 10);
    const [mean, variance] = momentsOf(() => randomGamma(shape, random));
    assert.ok(Math.abs(mean / shape - 1) < 0.03, `shape ${shape}: mean ${mean}`);
    assert.ok(Math.abs(variance / shape - 1) < 0.08, `shape ${shape}: variance ${variance}`);
  }
});

Deno.test("randomBeta() has mean 1/2 and the variance 1 / (8 alpha + 4), also near 0", () => {
  for (const alpha of [1e-310, 0.05, 0.2, 0.8, 1, 3]) {
    const random = randomStream(7, alpha);
    const [mean, variance] = momentsOf(() => randomBeta(alpha, random));
    const expected = 1 / (8 * alpha + 4);
    assert.ok(Math.abs(mean - 0.5) < 0.015, `alpha ${alpha}: mean ${mean}`);
    assert.ok(Math.abs(variance / expected - 1) < 0.05, `alpha ${alpha}: variance ${variance}`);
  }
  fc.assert(fc.property(fc.double({ min: 1e-320, max: 1e6, noNaN: true }), (alpha) => {
    const value = randomBeta(alpha, randomStream(1));
    assert.ok(value >= 0 && value <= 1, `${alpha}: ${value}`);
  }));
});

Deno.test("mixesSchema reads shorthands, accepts its output, and names what is wrong", () => {
  const mixes = mixesSchema.parse(["MixUp", { CutMix: 0.5 }, { MixUp: { alpha: 2 } }]);
  assert.deepEqual(mixes, [{ MixUp: { alpha: 1 } }, { CutMix: { alpha: 0.5 } }, {
    MixUp: { alpha: 2 },
  }]);
  assert.deepEqual(mixesSchema.parse(mixes), mixes);
  const problem = (value: unknown) => {
    const [issue] = mixesSchema.safeParse(value).error!.issues;
    return `${issue.path.join(".")}: ${issue.message}`;
  };
  assert.match(problem(["Mixup"]), /^0: unknown mix Mixup: did you mean MixUp\?/);
  assert.match(problem([{ CutMix: 0 }]), /^0\.CutMix: give a number above 0/);
  assert.match(
    problem([{ CutMix: { beta: 1 } }]),
    /^0\.CutMix\.beta: unknown argument beta of CutMix/,
  );
  assert.match(problem({ MixUp: 1 }), /^: give a list, such as/);
});
