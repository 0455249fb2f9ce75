/**
 * The place where a step's values cease to be finite, as its rank reports it, in words.
 *
 * @module
 */
import { counted } from "../../base/format.ts";
import type { List } from "../../base/lazy_list.ts";
import type { StepKey } from "../../base/step_key.ts";
import type { StepTotals } from "../../exchange/gradient_exchange.ts";
import type { NonFiniteReports } from "../../protocol/non_finite_reports.ts";
import {
  type NonFiniteImages,
  type NonFiniteOrigin,
  type NonFiniteReport,
  nonFiniteReportSchema,
} from "../../train/non_finite_origin.ts";

/** Milliseconds that a rank gets to compute a step again, op by op or in a trace of its own. */
const REPORT_MS = 30_000;

/**
 * Waits for the report on a step's origin by the rank that is to blame.
 *
 * @param signal Ends the wait
 * @returns Nothing where no rank's own values are to blame, or none reports in time
 */
export async function nonFiniteReportOf(
  reports: Pick<NonFiniteReports, "wait">,
  key: StepKey,
  { worstRank, tooLargeFor }: Pick<StepTotals, "worstRank" | "tooLargeFor">,
  signal?: AbortSignal,
): Promise<NonFiniteReport | undefined> {
  if (worstRank === undefined || tooLargeFor) return undefined;
  const report = await reports.wait(worstRank, key, { ms: REPORT_MS, signal });
  return nonFiniteReportSchema.safeParse(report).data;
}

/** Describes a report in a clause, such as `the first value that isn't finite is in the output of layer fc`. */
export function describeOrigin(
  { origin, alone }: NonFiniteReport,
  samples: Pick<List<{ readonly path: string }>, "at">,
): string {
  const how = alone ? "computed again without the other ranks' rows" : "computed again";
  if (origin.at === "unknown") return `it could not be computed again: ${origin.reason}`;
  if (origin.at === "nowhere") {
    return `${how}, all its values are finite` +
      (alone ? "" : ": the device or a module doesn't give the same values twice");
  }
  if (origin.at === "microBatches") {
    return `${how}, each of its ${
      counted(origin.count, "micro-batch", "micro-batches")
    } is finite, but their sum isn't`;
  }
  return `${how}, the first value that isn't finite is in ${placeOf(origin, samples)}`;
}

type Place = Exclude<NonFiniteOrigin, { at: "unknown" | "nowhere" | "microBatches" }>;

function placeOf(place: Place, samples: Parameters<typeof describeOrigin>[1]): string {
  const of = (images: NonFiniteImages | undefined) => imagesText(images, samples);
  switch (place.at) {
    case "parameter":
      return `the parameter ${place.name}, before the step`;
    case "images":
      return `the pixels of the images${of(place.images)}`;
    case "features":
      return `the kept features${of(place.images)}`;
    case "output":
      return `the output of layer ${place.layer}${of(place.images)}`;
    case "loss":
      return `the loss${of(place.images)}`;
    case "outputGradient":
      return `the gradient of the output of layer ${place.layer}${of(place.images)}`;
    case "gradient":
      return `the gradient of ${place.name}, of layer ${place.layer}`;
    case "statistics":
      return `the running statistics ${place.name}, of layer ${place.layer}`;
  }
}

function imagesText(
  images: NonFiniteImages | undefined,
  samples: Parameters<typeof describeOrigin>[1],
): string {
  if (!images) return "";
  const { indices, count, of } = images;
  const share = `${count} of ${counted(of, "image")}`;
  const paths = indices.flatMap((index) => samples.at(index)?.path ?? []);
  if (paths.length === 0) return ` (${share})`;
  return ` for ${paths.join(", ")}${count > paths.length ? " and others" : ""} (${share})`;
}
