/**
 * Comparisons that nobody trained.
 *
 * @module
 */
import { validateConfig } from "../../src/config/load.ts";
import type { ComparedRun, Comparison } from "../../src/compare/comparison.ts";
import { tinyConfig } from "./tiny_run.ts";

/** A variant with the accuracies of its runs, epoch by epoch. */
export interface MadeVariant {
  readonly label: string;
  readonly runs: readonly (readonly number[])[];
  /** Weights in the config; `none` unless given. */
  readonly weights?: string;
  /** Status of all runs; unless given, `finished` where all epochs are there, else `interrupted`. */
  readonly status?: ComparedRun["status"];
  readonly message?: string;
  readonly recoveries?: ComparedRun["recoveries"];
}

/** A comparison of variants that differ in weights and learning rate. */
export function madeComparison(variants: readonly MadeVariant[], epochs = 5): Comparison {
  return {
    comparisonVersion: 1,
    name: "food <&> fish",
    created: "2026-01-02T03:04:05.000Z",
    variants: variants.map(
      ({ label, runs, weights = "none", status, message, recoveries }, position) => {
        const config = validateConfig(
          tinyConfig("images", { train: { epochs }, model: { name: "plain_cnn", weights } }),
        );
        return {
          id: `variant-${position}`,
          label,
          config,
          differences: { "model.weights": weights, "train.lr": position / 100 },
          runs: runs.map((accuracies, seed) => ({
            seed,
            folder: `variant-${position}-seed-${seed}`,
            status: status ?? (accuracies.length >= epochs ? "finished" : "interrupted"),
            ...(message === undefined ? {} : { message }),
            ...(recoveries === undefined ? {} : { recoveries }),
            epochs: accuracies.map((accuracy, index) => ({
              epoch: index + 1,
              learningRate: 0.01,
              train: { loss: 1 / (index + 1), accuracy },
              validation: {
                loss: Number.isNaN(accuracy) ? NaN : 1 - accuracy,
                accuracy,
                count: 60,
              },
              seconds: 2,
              imagesPerSecond: index === 0 ? 10 : 100 + seed,
            })),
          })),
        };
      },
    ),
  };
}
