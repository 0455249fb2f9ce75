import assert from "node:assert/strict";
import { join } from "node:path";
import { openMetricsLogger } from "../../src/loggers/metrics_logger.ts";
import { MetricsLog, type MetricsPoint, readMetrics } from "../../src/records/metrics_log.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** A point with numbers that tell which it is. */
function pointAt(epoch: number, step: number, changes: Partial<MetricsPoint> = {}): MetricsPoint {
  const ms = { data: 1, forwardBackward: 20 + step, exchange: 3, update: 4 };
  return {
    time: new Date(1.8e12 + 1000 * step).toISOString(),
    epoch,
    step,
    examples: 100 * (epoch - 1) + 8 * step,
    loss: 1 / (epoch + step),
    accuracy: 0.5,
    learningRate: 0.01,
    imagesPerSecond: 100,
    ms: { ...ms, idle: 0.5, total: 28.5 + step },
    ranks: [
      { rank: 0, samples: 4, imagesPerSecond: 50, ms, residentBytes: 1000 },
      { rank: 1, samples: 4, imagesPerSecond: 50, ms: { ...ms, data: 9 }, residentBytes: 2000 },
    ],
    ...changes,
  };
}

/** Cells of `metrics.csv` by line and column name. */
async function readCsv(folder: string): Promise<Record<string, string>[]> {
  const text = await Deno.readTextFile(join(folder, "metrics.csv"));
  const [header, ...rows] = text.trimEnd().split("\n").map((line) => line.split(","));
  return rows.map((row) => Object.fromEntries(header.map((name, index) => [name, row[index]])));
}

Deno.test("MetricsLog writes points that readMetrics() gives back, and the same as CSV", () =>
  withTemporaryFolder(async (folder) => {
    const points = [pointAt(1, 2), pointAt(1, 4, { loss: NaN }), pointAt(2, 2)];
    {
      using log = await MetricsLog.open(folder, { epoch: 1, step: 0 });
      points.forEach((point) => log.append(point));
    }
    assert.deepEqual(await readMetrics(folder), points);
    const rows = await readCsv(folder);
    assert.deepEqual(rows.map(({ epoch, step }) => [epoch, step]), [["1", "2"], ["1", "4"], [
      "2",
      "2",
    ]]);
    assert.deepEqual(
      [rows[0].loss, rows[1].loss, rows[2].step_ms, rows[2].slowest_rank, rows[2].resident_bytes],
      [String(1 / 3), "NaN", "30.5", "1", "3000"],
    );
  }));

Deno.test("MetricsLog takes back what a resumed run makes again, and half a line", () =>
  withTemporaryFolder(async (folder) => {
    const before = [pointAt(1, 2), pointAt(1, 4), pointAt(2, 2), pointAt(2, 4)];
    {
      using log = await MetricsLog.open(folder, { epoch: 1, step: 0 });
      before.forEach((point) => log.append(point));
    }
    const path = join(folder, "metrics.jsonl");
    const whole = await Deno.readFile(path);
    await Deno.writeTextFile(path, '{"time":"2026', { append: true });
    const again = pointAt(2, 4, { imagesPerSecond: 7 });
    {
      using log = await MetricsLog.open(folder, { epoch: 2, step: 2 });
      log.append(again);
    }
    assert.deepEqual(await readMetrics(folder), [...before.slice(0, 3), again]);
    assert.equal((await readCsv(folder)).length, 4);
    const now = await Deno.readFile(path);
    const lines = new TextDecoder().decode(whole).split("\n");
    const kept = lines.slice(0, 3).join("\n").length;
    assert.deepEqual(now.subarray(0, kept), whole.subarray(0, kept), "the rest is as it was");
  }));

Deno.test("MetricsLog keeps everything when a run goes on behind its last point", () =>
  withTemporaryFolder(async (folder) => {
    for (const [start, step] of [[0, 2], [3, 4]]) {
      using log = await MetricsLog.open(folder, { epoch: 1, step: start });
      log.append(pointAt(1, step));
    }
    assert.deepEqual((await readMetrics(folder)).map(({ step }) => step), [2, 4]);
  }));

Deno.test("readMetrics() leaves out lines that hold no point, and gives none without a file", () =>
  withTemporaryFolder(async (folder) => {
    assert.deepEqual(await readMetrics(folder), []);
    const good = JSON.stringify(pointAt(1, 1));
    const lines = [
      good,
      "",
      "[]",
      '{"epoch": 1}',
      good.replace('"step":1', '"step":-1'),
      "nonsense",
    ];
    await Deno.writeTextFile(join(folder, "metrics.jsonl"), lines.join("\n") + `\n${good}`);
    assert.deepEqual(await readMetrics(folder), [pointAt(1, 1)]);
  }));

Deno.test("a resumed run whose points are lost says so, and keeps the table's rows", () =>
  withTemporaryFolder(async (folder) => {
    const before = [pointAt(1, 2), pointAt(1, 4), pointAt(2, 2), pointAt(2, 4)];
    const reopen = async (points: number) => {
      const warnings: string[] = [];
      const start = { folder, config: {}, classes: ["a", "b"], stepsPerEpoch: 4, step: 6 };
      const logger = await openMetricsLogger(
        { ...start, resumed: { epochs: 1, points, validated: false } },
        (line) => void warnings.push(line),
      );
      logger.metrics!(pointAt(2, 4));
      logger.close!();
      return warnings;
    };
    {
      using log = await MetricsLog.open(folder, { epoch: 1, step: 0 });
      before.forEach((point) => log.append(point));
    }
    const table = await readCsv(folder);
    assert.deepEqual(await reopen(3), [], "all of them are there");
    await Deno.remove(join(folder, "metrics.jsonl"));
    const [warning, ...more] = await reopen(3);
    assert.match(
      warning,
      /metrics\.jsonl has 0 of the 3 points up to here: step times, .* \(metrics\.csv has 3 of them; the losses are in history\.json\)$/,
    );
    assert.deepEqual(more, []);
    assert.deepEqual(await readCsv(folder), table);
    assert.deepEqual(await readMetrics(folder), [pointAt(2, 4)]);
    await Deno.writeTextFile(join(folder, "metrics.csv"), "another,table\n1,2\n");
    await Deno.remove(join(folder, "metrics.jsonl"));
    assert.match((await reopen(3))[0], /metrics\.csv has 0 of them/);
    assert.equal((await readCsv(folder)).length, 1);
  }));
