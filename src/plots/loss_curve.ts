/**
 * Training loss and validation loss against the images seen, as `losses.svg` and `losses.png`.
 *
 * @module
 */
import type { TopLevelSpec } from "../deps/vega_lite.ts";
import type { History } from "../records/history.ts";
import { COLOURS, PLOT_CONFIG, writePlot } from "./plot.ts";
import { thinLosses } from "./thin.ts";

const SIZE = { width: 760, height: 420 };

/** Cross-entropy is one too, of the softmax. */
const TITLE = "negative log likelihood loss";

/**
 * Draws the training loss as a line and all validations as dots.
 *
 * @param folder The run folder
 */
export async function writeLossCurve(folder: string, history: History): Promise<void> {
  await writePlot(folder, "losses", lossCurveSpec(history));
}

/** The plot as a Vega-Lite specification. */
export function lossCurveSpec({ config, losses, validations }: History): TopLevelSpec {
  const points = (part: string, all: readonly { examples: number; loss: number }[]) =>
    all.map(({ examples, loss }) => ({
      examples,
      part,
      loss: Number.isFinite(loss) ? loss : null,
    }));
  const x = {
    field: "examples",
    type: "quantitative" as const,
    title: "number of training examples seen",
    axis: { grid: false, tickCount: 8 },
  };
  const y = { field: "loss", type: "quantitative" as const, title: TITLE, scale: { zero: true } };
  const color = {
    field: "part",
    type: "nominal" as const,
    scale: { domain: ["train", "validation"], range: [COLOURS.train, COLOURS.validation] },
    legend: { orient: "top" as const, direction: "horizontal" as const, title: null },
  };
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    padding: 16,
    title: {
      text: typeof config.name === "string" ? config.name : "run",
      anchor: "start",
      offset: 12,
      fontSize: 20,
    },
    ...SIZE,
    layer: [
      {
        data: { values: points("train", thinLosses(losses)) },
        mark: { type: "line", strokeWidth: 2 },
        encoding: { x, y, color },
      },
      {
        data: { values: points("validation", thinLosses(validations)) },
        mark: { type: "point", size: 90, filled: true, opacity: 1 },
        encoding: { x, y, color },
      },
    ],
    config: PLOT_CONFIG,
  };
}
