/**
 * Cases of pages and pictures: what grows with classes and epochs, and what old run folders hold.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { writeComparison } from "../../src/reports/comparison.ts";
import { writeComparisonPlot } from "../../src/reports/comparison_plot.ts";
import { writeComparisonReport } from "../../src/reports/comparison_report/comparison_report.ts";
import { comparisonLines } from "../../src/reports/comparison_table.ts";
import { madeComparison } from "../support/made_comparison.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import type { Case } from "./case.ts";

/** Writes all of a comparison and returns the sizes of its files, by name. */
async function comparisonSizes(epochs: number, classes: number): Promise<Record<string, number>> {
  const accuracies = Array.from({ length: epochs }, (_, epoch) => epoch % 100 / 100);
  const comparison = madeComparison([
    { label: "Pretrained", weights: "pretrained", runs: [accuracies, accuracies] },
    { label: "Scratch", runs: [accuracies, accuracies] },
  ], epochs);
  comparison.variants.forEach(({ differences }, position) => {
    for (let label = 0; label < classes; label++) {
      differences[`train.classWeights.class_${label}`] = 1 + position;
    }
  });
  const sizes: Record<string, number> = {};
  await withTemporaryFolder(async (folder) => {
    const [start, before] = [performance.now(), Deno.memoryUsage().rss];
    await writeComparison(folder, comparison);
    await writeComparisonPlot(folder, comparison);
    await writeComparisonReport(folder, comparison);
    const [seconds, bytes] = [
      (performance.now() - start) / 1000,
      Deno.memoryUsage().rss - before,
    ];
    assert.ok(seconds < 20, `${seconds} s`); // 1 s on an idle machine
    assert.ok(bytes < 1e9, `${bytes} bytes`); // 200 MB
    for await (const { name } of Deno.readDir(folder)) {
      sizes[name] = (await Deno.stat(join(folder, name))).size;
    }
    sizes.lines = comparisonLines(comparison, 100).length;
  });
  return sizes;
}

/** Rows of the table. */
export const CASES: readonly Case[] = [
  {
    name: "compare: 10,000 epochs, 1,000 and 21,000 classes with weights",
    must: "the report, the picture and the table are of bounded size, and drawn in seconds",
    run: async () => {
      for (const [epochs, classes] of [[10_000, 1000], [10_000, 21_000]]) {
        const sizes = await comparisonSizes(epochs, classes);
        assert.ok(sizes["report.html"] < 300_000, `${sizes["report.html"]} bytes`);
        assert.ok(sizes["comparison.svg"] < 300_000, `${sizes["comparison.svg"]} bytes`);
        assert.ok(sizes.lines < 60, `${sizes.lines} lines`);
      }
    },
  },
];
