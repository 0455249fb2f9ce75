import assert from "node:assert/strict";
import { MetricsLog, type MetricsPoint, readMetrics } from "../../src/records/metrics_log.ts";
import { readThinMetrics } from "../../src/records/thin_metrics.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

function point(index: number): MetricsPoint {
  const ms = { data: 1, forwardBackward: index, exchange: 0, idle: 0, update: 1, total: index + 2 };
  return {
    time: "2026-11-28T12:00:00.000Z",
    epoch: Math.floor(index / 20) + 1,
    step: index % 20 + 1,
    examples: 4 * (index + 1),
    loss: index,
    accuracy: 0.5,
    learningRate: 0.1,
    imagesPerSecond: 100,
    ms,
    ranks: [{
      rank: 0,
      samples: 4,
      imagesPerSecond: 100,
      ms: { data: 1, forwardBackward: index, exchange: 0, update: 1 },
      residentBytes: 1000 + index,
    }],
  };
}

Deno.test("readThinMetrics() keeps sums, means and the end of a run of any length", () =>
  withTemporaryFolder(async (folder) => {
    assert.deepEqual(await readThinMetrics(folder, 8), []);
    let written = 0;
    for (const count of [1, 7, 8, 9, 17, 100, 1003]) {
      {
        using log = await MetricsLog.open(folder, { epoch: 10_000, step: 0 });
        while (written < count) log.append(point(written++));
      }
      const thin = await readThinMetrics(folder, 8);
      assert.ok(
        thin.length <= 9 && thin.length >= Math.min(count, 4),
        `${thin.length} of ${count}`,
      );
      if (count < 8) assert.deepEqual(thin, await readMetrics(folder));
      const samples = thin.reduce((sum, { ranks }) => sum + ranks[0].samples, 0);
      assert.equal(samples, 4 * count, "each sample is in one point");
      const weighted = thin.reduce((sum, { loss, ranks }) => sum + loss * ranks[0].samples / 4, 0);
      assert.equal(weighted, count * (count - 1) / 2, "the means are those of the points");
      assert.equal(thin.at(-1)!.examples, 4 * count);
      assert.equal(thin.at(-1)!.ranks[0].residentBytes, 1000 + count - 1);
    }
  }));
