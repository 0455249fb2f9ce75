import assert from "node:assert/strict";
import {
  benchScaling,
  type ModePoint,
  type ScalingResult,
  withEfficiency,
} from "../../src/bench/scaling.ts";
import { scalingPlot } from "../../src/bench/scaling_plot.ts";
import { summarize } from "../../src/bench/scaling_point.ts";
import { specAsSvg } from "../../src/plots/plot.ts";
import { wonAtLeastOnce } from "../support/at_once.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const COMMON = {
  modes: ["weak", "strong"],
  model: "plain_cnn",
  imageSize: 32,
  batch: 8,
  steps: 4,
  warmup: 1,
  threads: 1,
} as const;

/** The parts of a step must be there and add up to it. */
function checkBreakdown({ breakdown, stepMilliseconds }: ModePoint): void {
  const parts = Object.values(breakdown);
  assert.ok(parts.every((part) => part >= -1e-6), JSON.stringify(breakdown));
  const sum = parts.reduce((total, part) => total + part, 0);
  assert.ok(Math.abs(sum - stepMilliseconds) < 1e-6, `${sum} is not ${stepMilliseconds}`);
}

Deno.test("benchScaling() with synchronized BatchNorm spends 40 meetings of resnet18 in the exchange", async () => {
  const exchangeOf = async (syncBatchNorm: boolean) => {
    const { points: [point], ...result } = await benchScaling({
      ...COMMON,
      modes: ["weak"],
      model: "resnet18",
      workers: [2],
      simulateCompute: 5,
      vectorBytes: 20_000,
      steps: 20,
      syncBatchNorm,
    });
    assert.equal(result.syncBatchNorm, syncBatchNorm || undefined);
    checkBreakdown(point);
    return point.breakdown.exchange + point.breakdown.idle;
  };
  await wonAtLeastOnce(async () => {
    const apart = await exchangeOf(false);
    const together = await exchangeOf(true);
    console.log(`${together} ms, ${apart} ms without`);
    return together > apart + 0.2;
  });
});

Deno.test("benchScaling() with a pause runs 4 workers, weak and strong", async () => {
  const pause = 40;
  const result = await benchScaling({
    ...COMMON,
    workers: [1, 4],
    simulateCompute: pause,
    vectorBytes: 100_000,
  });
  assert.equal(result.vectorBytes, 100_000);
  assert.deepEqual(
    result.points.map(({ mode, workers, globalBatch }) => [mode, workers, globalBatch]),
    [["weak", 1, 8], ["strong", 1, 8], ["weak", 4, 32], ["strong", 4, 8]],
  );
  for (const point of result.points) {
    const { mode, workers, globalBatch, stepMilliseconds } = point;
    checkBreakdown(point);
    assert.equal(point.imagesPerSecond, 1000 * globalBatch / stepMilliseconds);
    // Timers may be late but not early; a quarter of the batch pauses a quarter of the time.
    const least = mode === "weak" ? pause : pause / workers;
    assert.ok(point.breakdown.forwardBackward > least - 1.5, JSON.stringify(point.breakdown));
    assert.ok(point.breakdown.exchange > 0);
    assert.ok(point.boundMilliseconds! > 0 && point.boundMilliseconds! < point.stepMilliseconds);
    assert.equal(point.loss, 1); // each sample of a pause "loses" 1: all ranks' were added
  }
  assert.equal(result.points[0].efficiency, 1);
  assert.equal(result.points[1].efficiency, 1);
});

Deno.test("benchScaling() trains a model on images of a folder", async () => {
  await withTemporaryFolder(async (root) => {
    await makeImages(root);
    const { points, vectorBytes, images } = await benchScaling({
      ...COMMON,
      workers: [2],
      modes: ["weak"],
      imageSize: 20,
      data: root,
    });
    assert.equal(images, "folder");
    assert.equal(points.length, 1);
    const [point] = points;
    checkBreakdown(point);
    assert.equal(point.boundMilliseconds, undefined, "of real steps there is none");
    assert.equal(point.globalBatch, 16);
    assert.ok(point.breakdown.update > 0 && point.breakdown.forwardBackward > 0);
    assert.ok(point.loss !== null && point.loss > 0 && point.loss < 10, `loss ${point.loss}`);
    assert.ok(vectorBytes > 0 && point.residentBytes > vectorBytes);
  });
});

Deno.test("benchScaling() refuses strong scaling with fewer images than workers", async () => {
  await assert.rejects(
    benchScaling({ ...COMMON, workers: [1, 16] }),
    /--batch 8 over 16 workers leaves some without images: give --batch 16 or more/,
  );
});

Deno.test("benchScaling() refuses a vector's length without a pause, and an unknown exchange", async () => {
  await assert.rejects(
    benchScaling({ ...COMMON, workers: [1], vectorBytes: 8 }),
    /--vector-bytes needs --simulate-compute/,
  );
  await assert.rejects(
    benchScaling({ ...COMMON, workers: [1], simulateCompute: 1, exchange: "pigeons" }),
    /--exchange is pigeons: give auto or /,
  );
});

Deno.test("summarize() counts as idle what a rank waits for slower ones", () => {
  const step = (forwardBackward: number, exchange: number) => ({
    data: 1,
    forwardBackward,
    exchange,
    update: 2,
  });
  const rank = (forwardBackward: number, exchange: number) => ({
    exchange: "nats" as const,
    steps: [step(forwardBackward, exchange)],
    vectorBytes: 4,
    loss: 0.5,
    residentBytes: 100,
    firstStepAt: 1000 + exchange,
  });
  // Rank 1 computes 20 ms longer, so rank 0 waits 20 ms in the exchange.
  const point = summarize([rank(10, 25), rank(30, 5)], 16);
  assert.equal(point.stepMilliseconds, 38);
  assert.equal(point.imagesPerSecond, 16_000 / 38);
  assert.deepEqual(point.breakdown, {
    data: 1,
    forwardBackward: 20,
    exchange: 5,
    idle: 10,
    update: 2,
  });
  assert.equal(point.firstStepAt, 1025);
});

Deno.test("summarize() leaves out the fastest and the slowest quarter of the steps", () => {
  const steps = [100, 1, 9, 11].map((total) => ({
    data: total,
    forwardBackward: 0,
    exchange: 0,
    update: 0,
  }));
  const times = {
    exchange: "nats" as const,
    vectorBytes: 4,
    loss: 1,
    residentBytes: 1,
    firstStepAt: 1,
  };
  const point = summarize([{ ...times, steps }], 1);
  assert.equal(point.stepMilliseconds, 10);
  assert.deepEqual([point.minMilliseconds, point.maxMilliseconds], [1, 100]);
});

Deno.test("withEfficiency() compares speeds per worker with those of the smallest number", () => {
  const point = (mode: "weak" | "strong", workers: number, imagesPerSecond: number) =>
    ({ mode, workers, imagesPerSecond }) as ModePoint;
  const points = withEfficiency([
    point("weak", 2, 20),
    point("weak", 4, 30),
    point("strong", 2, 10),
    point("strong", 4, 10),
  ]);
  assert.deepEqual(points.map(({ efficiency }) => efficiency), [1, 0.75, 1, 0.5]);
});

Deno.test("scalingPlot() leaves no panel empty, and gives each colour one meaning", async () => {
  const breakdown = { data: 3, forwardBackward: 50, exchange: 4, idle: 2, update: 6 };
  for (const modes of [["weak", "strong"], ["weak"], ["strong"]] as const) {
    const points = [1, 2, 16].flatMap((workers) =>
      modes.map((mode) =>
        ({ mode, workers, imagesPerSecond: 9 * workers, efficiency: 1, breakdown }) as ModePoint
      )
    );
    const result = { model: "plain_cnn", imageSize: 32, batch: 8, exchange: "made", points };
    const svg = await specAsSvg(scalingPlot(result as unknown as ScalingResult));
    const texts = Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text);
    const titles = ["Speed", "Efficiency", ...modes.map((mode) => `A step, ${mode} scaling`)];
    const legend = ["measured", "linear scaling", "data", "forward + backward", "optimizer"];
    for (const text of [...titles, ...modes, ...legend, "16"]) {
      assert.ok(texts.includes(text), `${text} in ${texts.join()}`);
    }
    // Each row of panels reaches to the right edge.
    const panels = Array.from(
      svg.matchAll(/<path class="background"[^>]* d="M0.5,0.5h([\d.]+)v280h-/g),
      ([, width]) => Number(width),
    );
    assert.deepEqual(panels, modes.length === 2 ? [390, 390, 390, 390] : [390, 390, 860]);
    // Marks of the parts are filled with colours that no line and no point has.
    const coloursOf = (role: string) =>
      new Set(
        Array.from(
          svg.matchAll(new RegExp(`<g class="${role} [^>]*>(.*?)</g>`, "gs")),
          ([, marks]) =>
            Array.from(marks.matchAll(/(?:fill|stroke)="(#[\da-f]{6})"/g), ([, colour]) => colour),
        )
          .flat(),
      );
    const [bars, lines, symbols] = ["mark-rect role-mark", "mark-line", "mark-symbol role-mark"]
      .map(coloursOf);
    assert.equal(bars.size, 5);
    assert.equal(lines.size, modes.length + 1);
    assert.equal(symbols.size, modes.length);
    assert.ok(symbols.isSubsetOf(lines) && bars.isDisjointFrom(lines), [...bars, ...lines].join());
  }
});
