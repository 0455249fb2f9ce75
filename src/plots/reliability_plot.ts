/**
 * The reliability of a model's probabilities, as `reliability.svg` and `reliability.png`: a reliability diagram
 * (DeGroot and Fienberg 1983; Guo et al. 2017, arXiv:1706.04599), and the number of images in each bin.
 *
 * @module
 */
import { formatScore } from "../base/format.ts";
import type { TopLevelSpec } from "../deps/vega_lite.ts";
import type { EvaluationRecord } from "../records/evaluation_file.ts";
import { type EvaluatedFacts, evaluationTitle } from "./evaluation_title.ts";
import { COLOURS, PLOT_CONFIG, writePlot } from "./plot.ts";
import { drawable } from "./svg_picture.ts";

/** The part of an evaluation that the plot shows. */
export type ReliabilityFacts =
  & Pick<EvaluationRecord, "calibration" | "accuracy" | "count">
  & EvaluatedFacts;

const WIDTH = 520;
const HEIGHTS = { diagram: 360, counts: 120 };

/**
 * Draws the diagram.
 *
 * @param folder The evaluation's folder
 */
export async function writeReliabilityPlot(
  folder: string,
  record: ReliabilityFacts,
): Promise<void> {
  await writePlot(folder, "reliability", reliabilitySpec(record));
}

/** The plot as a Vega-Lite specification. */
export function reliabilitySpec(
  facts: ReliabilityFacts,
): TopLevelSpec {
  const { calibration, accuracy, count } = facts;
  const { title, detail } = evaluationTitle(facts);
  const { ece, confidence, bins } = calibration;
  const values = bins.filter((bin) => bin.count > 0).map((bin) => ({ ...bin }));
  const number = (value: number) => formatScore(value, "unknown");
  const parts = {
    domain: ["accuracy", "mean confidence"],
    range: [COLOURS.train, COLOURS.validation],
  };
  const x = (axis: object) => ({
    field: "from",
    type: "quantitative" as const,
    bin: "binned" as const,
    scale: { domain: [0, 1] },
    title: "confidence",
    axis: { format: ".1f", values: [0, 0.2, 0.4, 0.6, 0.8, 1], grid: false, ...axis },
  });
  const scale = { domain: [0, 1] };
  const y = (field: string) => ({ field, type: "quantitative" as const, title: "accuracy", scale });
  const color = (part: string) => ({
    datum: part,
    type: "nominal" as const,
    scale: parts,
    legend: {
      orient: "top" as const,
      direction: "horizontal" as const,
      title: null,
      symbolType: "square" as const,
      symbolOpacity: 1,
      symbolStrokeWidth: 0,
    },
  });
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    padding: 16,
    title: {
      text: drawable(title),
      subtitle: [
        drawable(detail),
        `calibration error (ECE) ${number(ece)} on ${count} images`,
        `accuracy ${number(accuracy)}, mean confidence ${number(confidence)}`,
      ],
      anchor: "start",
      offset: 14,
      fontSize: 20,
      subtitleFontSize: 14,
      subtitlePadding: 6,
      subtitleColor: COLOURS.quiet,
    },
    vconcat: [
      {
        width: WIDTH,
        height: HEIGHTS.diagram,
        layer: [
          {
            data: { values },
            mark: { type: "bar", stroke: "white", strokeWidth: 1 },
            encoding: {
              x: x({ title: null }),
              x2: { field: "to" },
              y: y("accuracy"),
              color: color("accuracy"),
            },
          },
          {
            data: { values: [{ at: 0 }, { at: 1 }] },
            mark: { type: "line", strokeDash: [6, 5], color: COLOURS.quiet, strokeWidth: 1.5 },
            encoding: { x: { field: "at", type: "quantitative" }, y: y("at") },
          },
          {
            data: { values },
            mark: {
              type: "tick",
              orient: "horizontal",
              thickness: 5,
              size: WIDTH / bins.length - 4,
              opacity: 1,
            },
            encoding: {
              x: { field: "middle", type: "quantitative" },
              y: y("confidence"),
              color: color("mean confidence"),
            },
            transform: [{ calculate: "(datum.from + datum.to) / 2", as: "middle" }],
          },
        ],
      },
      {
        width: WIDTH,
        height: HEIGHTS.counts,
        data: { values },
        mark: { type: "bar", color: "#888888", stroke: "white", strokeWidth: 1 },
        encoding: {
          x: x({}),
          x2: { field: "to" },
          y: {
            field: "count",
            type: "quantitative",
            title: "images",
            axis: { tickCount: 4, tickMinStep: 1, format: "d" },
          },
        },
      },
    ],
    spacing: 16,
    config: PLOT_CONFIG,
  };
}
