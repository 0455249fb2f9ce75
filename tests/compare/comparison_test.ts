import assert from "node:assert/strict";
import { join } from "node:path";
import { Image } from "imagescript";
import Papa from "papaparse";
import { UsageError } from "../../src/base/errors.ts";
import { validateConfig } from "../../src/config/load.ts";
import {
  bestVariant,
  type Comparison,
  comparisonAsCsv,
  readComparison,
  summarizeRun,
  summarizeVariant,
  writeComparison,
} from "../../src/compare/comparison.ts";
import { comparisonSpec, writeComparisonPlot } from "../../src/compare/comparison_plot.ts";
import { comparisonLines } from "../../src/compare/comparison_table.ts";
import { specAsSvg } from "../../src/plots/plot.ts";
import { spreadOf } from "../../src/compare/spread.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";

const EPOCHS = 5;

/** A comparison of variants with the accuracies of their runs, epoch by epoch. */
function comparisonOf(variants: Record<string, number[][]>, epochs = EPOCHS): Comparison {
  return {
    comparisonVersion: 1,
    name: "food <&> fish",
    created: "2026-01-02T03:04:05.000Z",
    variants: Object.entries(variants).map(([label, runs], position) => ({
      id: `variant-${position}`,
      label,
      config: validateConfig(tinyConfig("images", { train: { epochs } })),
      differences: { "train.lr": position / 100 },
      runs: runs.map((accuracies, seed) => ({
        seed,
        folder: `variant-${position}-seed-${seed}`,
        status: accuracies.length === epochs ? "finished" as const : "interrupted" as const,
        epochs: accuracies.map((accuracy, index) => ({
          epoch: index + 1,
          learningRate: 0.01,
          train: { loss: 1 / (index + 1), accuracy },
          validation: { loss: Number.isNaN(accuracy) ? NaN : 0.5, accuracy, count: 60 },
          seconds: 2,
          imagesPerSecond: index === 0 ? 10 : 100 + seed,
        })),
      })),
    })),
  };
}

const TWO = { Pretrained: [[0.8, 0.9, 0.95, 0.95, 0.9]], Scratch: [[0.2, 0.4, 0.3, 0.5, 0.45]] };

Deno.test("spreadOf() gives the mean, the median and how far numbers lie apart", () => {
  assert.deepEqual(spreadOf([1, 2, 6, NaN]), {
    mean: 3,
    median: 2,
    deviation: Math.sqrt(7),
    least: 1,
    most: 6,
  });
  assert.deepEqual(spreadOf([4]), { mean: 4, median: 4, deviation: 0, least: 4, most: 4 });
  assert.equal(spreadOf([1, 2, 3, 10]).median, 2.5);
  assert.ok(Object.values(spreadOf([])).every(Number.isNaN));
});

Deno.test("summarizeRun() finds the best epoch, the time and the usual speed", () => {
  const { variants } = comparisonOf(TWO);
  assert.deepEqual(summarizeRun(variants[0].runs[0]), {
    bestAccuracy: 0.95,
    bestEpoch: 3,
    seconds: 10,
    imagesPerSecond: 100,
  });
  const none = summarizeRun({ seed: 0, folder: "x", status: "waiting", epochs: [] });
  assert.deepEqual(none, { bestAccuracy: NaN, bestEpoch: 0, seconds: 0, imagesPerSecond: NaN });
});

Deno.test("bestVariant() compares means over the seeds, and leaves out what has no result", () => {
  const comparison = comparisonOf({
    lucky: [[0.99], [0.1]],
    steady: [[0.6], [0.6]],
    none: [[], []],
  });
  assert.equal(bestVariant(comparison)?.label, "steady");
  assert.equal(bestVariant(comparisonOf({ a: [[]], b: [[]] })), undefined);
  const { bestAccuracy, finished, runs } = summarizeVariant(comparison.variants[0]);
  assert.equal(bestAccuracy.mean, 0.545);
  assert.deepEqual([bestAccuracy.least, bestAccuracy.most, finished, runs], [0.1, 0.99, 0, 2]);
});

Deno.test("readComparison() reads what writeComparison() wrote", () =>
  withTemporaryFolder(async (folder) => {
    const comparison = comparisonOf({ ...TWO, "with NaN": [[0.4, NaN]] });
    await writeComparison(folder, comparison);
    assert.deepEqual(await readComparison(folder), comparison);
    const tree = JSON.parse(await Deno.readTextFile(join(folder, "comparison.json")));
    assert.equal(tree.variants[0].summary.bestAccuracy.mean, 0.95);
    assert.equal(tree.variants[1].runs[0].bestEpoch, 4);
    assert.equal(tree.variants[2].runs[0].epochs[1].validation.accuracy, null);
  }));

Deno.test("readComparison() says what is wrong, and where", () =>
  withTemporaryFolder(async (folder) => {
    const file = join(folder, "comparison.json");
    const refused = async (message: RegExp) =>
      await assert.rejects(
        readComparison(folder),
        (error: Error) => error instanceof UsageError && message.test(error.message),
      );
    await refused(/is not a comparison, its comparison\.json can't be read .*runs\/latest-compare/);
    await Deno.writeTextFile(file, "{");
    await refused(/comparison\.json is not valid JSON/);
    const comparison = comparisonOf(TWO);
    comparison.variants[1].runs[0].folder = "../../elsewhere";
    await Deno.writeTextFile(file, JSON.stringify(comparison));
    await refused(/is not a comparison, variants\.1\.runs\.0\.folder/);
    await Deno.writeTextFile(file, JSON.stringify({ ...comparisonOf(TWO), comparisonVersion: 2 }));
    await refused(/comparisonVersion/);
  }));

Deno.test("comparisonAsCsv() has a line for each epoch of each run, and no formula", () => {
  const text = comparisonAsCsv(comparisonOf({ '=1+1, "x"': [[0.5, 0.75], [0.25]] }));
  const { data, errors } = Papa.parse<Record<string, string>>(text, {
    header: true,
    skipEmptyLines: true,
  });
  assert.deepEqual(errors, []);
  assert.deepEqual(
    data.map((
      { label, seed, epoch, validation_accuracy },
    ) => [label, seed, epoch, validation_accuracy]),
    [['\'=1+1, "x"', "0", "1", "0.5"], ['\'=1+1, "x"', "0", "2", "0.75"], [
      '\'=1+1, "x"',
      "1",
      "1",
      "0.25",
    ]],
  );
});

/** The texts of an SVG, without markup. */
function textsOf(svg: string): string[] {
  return Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text);
}

Deno.test("comparisonSpec() has the titles of the tutorial, accuracies from 0 to 1 and the best ones", async () => {
  const texts = textsOf(await specAsSvg(comparisonSpec(comparisonOf(TWO))));
  for (
    const expected of [
      "Validation Accuracy vs. Number of Training Epochs",
      "food &lt;&amp;&gt; fish",
      "Training Epochs",
      "Validation Accuracy",
      "0.0",
      "1.0",
      ..."12345",
      "Pretrained (best 0.950)",
      "Scratch (best 0.500)",
    ]
  ) assert.ok(texts.includes(expected), `${expected} is missing in ${texts.join(" | ")}`);
});

Deno.test("comparisonSpec() draws bands where there are several seeds, and names what isn't finished", async () => {
  const band = /aria-roledescription="area mark"|<path[^>]*fill-opacity="0\.16"|opacity="0\.16"/;
  const single = await specAsSvg(comparisonSpec(comparisonOf(TWO)));
  assert.doesNotMatch(single, band);
  const repeated = comparisonOf({ a: [[0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.4]], b: [[], []] });
  const svg = await specAsSvg(comparisonSpec(repeated));
  assert.match(svg, band);
  const texts = textsOf(svg);
  assert.ok(texts.includes("a (best 0.450 ± 0.071, unfinished)"), texts.join(" | "));
  assert.ok(texts.includes("b (no result)"));
  assert.ok(
    texts.includes("food &lt;&amp;&gt; fish; mean of 2 seeds, from the lowest to the highest"),
  );
  const { data } = comparisonSpec(repeated) as unknown as { data: { values: unknown[] } };
  assert.deepEqual(data.values[1], {
    epoch: 2,
    mean: (0.2 + 0.4) / 2,
    least: 0.2,
    most: 0.4,
    variant: "a (best 0.450 ± 0.071, unfinished)",
  });
});

Deno.test("comparisonSpec() keeps lines with the same long beginning apart", async () => {
  const long = `${"x".repeat(90)}yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy`;
  const svg = await specAsSvg(
    comparisonSpec(comparisonOf({ [long]: TWO.Scratch, [`x${long}`]: TWO.Pretrained })),
  );
  const [first, second] = textsOf(svg).filter((text) => text.startsWith("xxx"));
  assert.match(first, /^x+…y+ \(best 0\.500\)$/);
  assert.match(second, /^x+…y+ #2 \(best 0\.950\)$/);
});

Deno.test("writeComparisonPlot() leaves a white margin for any number of variants, epochs and seeds", () =>
  withTemporaryFolder(async (folder) => {
    const names = [
      "EfficientNet-Lite0, feature extraction, 2 workers, a long name",
      "short",
      "Scratch",
      "ResNet-18, Fine-tuned",
      "a",
      "b",
      "c",
      "d",
      "e",
    ];
    const curve = (level: number, epochs: number) =>
      Array.from({ length: epochs }, (_, epoch) => 1 - level / (epoch + 1.5));
    for (const [count, epochs, seeds] of [[1, 1, 1], [2, 5, 1], [5, 5, 3], [9, 60, 2]]) {
      const variants = Object.fromEntries(
        names.slice(0, count).map((name, index) => [
          name,
          Array.from({ length: seeds }, (_, seed) => curve(0.2 + index / 12 + seed / 20, epochs)),
        ]),
      );
      await writeComparisonPlot(folder, comparisonOf(variants, epochs));
      const bytes = await Deno.readFile(join(folder, "comparison.png"));
      const keep = Deno.env.get("LOCKSTEP_KEEP_IMAGES");
      if (keep) await Deno.writeFile(join(keep, `comparison-${count}.png`), bytes);
      const image = await Image.decode(bytes) as Image;
      assert.ok(image.width > 1500 && image.width < 1800, `width ${image.width}`);
      for (let x = 0; x < image.width; x++) {
        for (const y of [0, 20, image.height - 21, image.height - 1]) {
          assert.equal(image.bitmap[(y * image.width + x) * 4], 255, `${count}: ink at ${x}, ${y}`);
        }
      }
      for (let y = 0; y < image.height; y++) {
        for (const x of [0, 20, image.width - 21, image.width - 1]) {
          assert.equal(image.bitmap[(y * image.width + x) * 4], 255, `${count}: ink at ${x}, ${y}`);
        }
      }
    }
  }));

Deno.test("comparisonLines() marks the best variant and lists what differs", () => {
  const comparison = comparisonOf({ ...TWO, Part: [[0.3]], Nothing: [[]] });
  comparison.variants[2].runs[0].status = "failed";
  const lines = comparisonLines(comparison, Infinity);
  assert.deepEqual(lines, [
    "            best accuracy  epoch   time       speed",
    "Pretrained          0.950      3   10 s   100 img/s  ← best",
    "Scratch             0.500      4   10 s   100 img/s",
    "Part                0.300      1  2.0 s  10.0 img/s  failed",
    "Nothing                 –      –      –           –  unfinished",
    "",
    "differs in  Pretrained  Scratch  Part  Nothing",
    "train.lr    0           0.01     0.02  0.03",
    "",
  ]);
  for (const line of comparisonLines(comparison, 40)) assert.ok(line.length <= 40, line);
});

Deno.test("comparisonLines() gives deviation and range over several seeds", () => {
  const lines = comparisonLines(
    comparisonOf({ a: [[0.1, 0.2], [0.3, 0.4]], b: [[0.5], [0.5]] }),
    120,
  );
  assert.match(lines[0], /best accuracy +range +time +speed/);
  assert.match(lines[1], /^a +0\.300 ± 0\.141 +0\.200 to 0\.400/);
});
