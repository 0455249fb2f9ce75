/**
 * The metrics of a run of any length, in a bounded number of points.
 *
 * @module
 */
import { mean } from "../base/statistics.ts";
import { join } from "node:path";
import { LineTail } from "./line_tail.ts";
import { METRICS_FILE, type MetricsPoint, parseMetrics, type RankMetrics } from "./metrics_log.ts";

/**
 * Reads `metrics.jsonl` piece by piece. When there are more points than `most`, neighbours become one: its place is
 * that of the later one, samples are added, everything else is the mean.
 *
 * @param most At least 2
 * @returns From half of `most` up to `most` + 1 points where there are so many; none where the file is missing
 */
export async function readThinMetrics(folder: string, most: number): Promise<MetricsPoint[]> {
  const tail = new LineTail(join(folder, METRICS_FILE), 0);
  let points: MetricsPoint[] = [];
  /** Points of the file that one of `points` stands for, and those that are not yet enough for one. */
  let every = 1;
  let open: MetricsPoint[] = [];
  for (;;) {
    const before = tail.offset;
    for (const line of await tail.next() ?? []) {
      const point = parseMetrics(line);
      if (!point) continue;
      open.push(point);
      if (open.length < every) continue;
      points.push(meanPoint(open));
      open = [];
      if (points.length < most || points.length % 2 === 1) continue;
      points = pairsOf(points);
      every *= 2;
    }
    if (tail.offset === before) break;
  }
  return open.length > 0 ? [...points, meanPoint(open)] : points;
}

function pairsOf(points: readonly MetricsPoint[]): MetricsPoint[] {
  return Array.from(
    { length: points.length / 2 },
    (_, index) => meanPoint(points.slice(2 * index, 2 * index + 2)),
  );
}

/** Several points, which follow each other, as one. */
function meanPoint(points: readonly MetricsPoint[]): MetricsPoint {
  const last = points[points.length - 1];
  if (points.length === 1) return last;
  const numbers = last.ranks.map(({ rank }) => rank);
  return {
    ...last,
    loss: mean(points.map(({ loss }) => loss)),
    accuracy: mean(points.map(({ accuracy }) => accuracy)),
    imagesPerSecond: mean(points.map(({ imagesPerSecond }) => imagesPerSecond)),
    ms: meanOfParts(points.map(({ ms }) => ms)),
    ranks: numbers.map((rank) =>
      meanRank(points.flatMap(({ ranks }) => ranks.filter((each) => each.rank === rank)))
    ),
  };
}

function meanRank(ranks: readonly RankMetrics[]): RankMetrics {
  const resident = ranks.flatMap(({ residentBytes }) => residentBytes ?? []);
  return {
    ...ranks[ranks.length - 1],
    samples: ranks.reduce((sum, { samples }) => sum + samples, 0),
    imagesPerSecond: mean(ranks.map(({ imagesPerSecond }) => imagesPerSecond)),
    ms: meanOfParts(ranks.map(({ ms }) => ms)),
    ...(resident.length > 0 ? { residentBytes: resident.reduce((a, b) => Math.max(a, b)) } : {}),
  };
}

function meanOfParts<P extends Record<string, number>>(parts: readonly P[]): P {
  const names = Object.keys(parts[0]);
  return Object.fromEntries(
    names.map((name) => [name, mean(parts.map((part) => part[name]))]),
  ) as P;
}
