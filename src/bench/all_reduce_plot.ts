/**
 * The plot of `bench allreduce`: bandwidth against size.
 *
 * @module
 */
import type { TopLevelSpec } from "../deps/vega_lite.ts";
import type { AllReduceResult } from "./all_reduce.ts";
import { SERIES_COLOURS } from "../plots/plot.ts";
import { plotFrame, TOP_LEGEND } from "./plots.ts";
import { counted } from "../base/format.ts";

/** The plot as a Vega-Lite specification: one panel, logarithmic on both axes. */
export function allReducePlot({ points, exchange, dtype }: AllReduceResult): TopLevelSpec {
  const counts = [...new Set(points.map(({ workers }) => workers))];
  const busName = (workers: number) => `all-reduce, ${counted(workers, "worker")}`;
  const copyName = "memcpy, one process";
  const most = counts[counts.length - 1];
  const togetherName = `memcpy, ${most} processes at once`;
  const values = [
    ...points.map(({ workers, bytes, busGBps }) => ({
      bytes,
      speed: busGBps,
      series: busName(workers),
    })),
    ...points.filter(({ workers }) => workers === most).flatMap((point) => [
      { bytes: point.bytes, speed: point.memcpyGBps, series: copyName },
      { bytes: point.bytes, speed: point.memcpyTogetherGBps, series: togetherName },
    ]),
  ].filter(({ speed }) => speed > 0); // one worker has no bus, and a logarithm no zero
  const series = [...new Set(values.map((value) => value.series))];
  return {
    ...plotFrame("All-reduce", [
      `bus bandwidth as nccl-tests defines it, of float32 vectors; exchange: ${exchange}, values as ${dtype}`,
    ]),
    width: 760,
    height: 420,
    data: { values },
    mark: { type: "line", strokeWidth: 2, point: { filled: true, size: 60 } },
    encoding: {
      x: {
        field: "bytes",
        type: "quantitative",
        title: "bytes of the vector",
        scale: { type: "log", nice: false },
        axis: { grid: false, format: "~s", tickCount: 6 },
      },
      y: {
        field: "speed",
        type: "quantitative",
        title: "GB/s",
        scale: { type: "log" },
        axis: { format: "~g", tickCount: 6 },
      },
      color: {
        field: "series",
        type: "nominal",
        scale: { domain: series, range: SERIES_COLOURS },
        legend: { ...TOP_LEGEND, columns: 2 },
      },
    },
  };
}
