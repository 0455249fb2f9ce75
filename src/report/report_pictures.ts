/**
 * The small pictures of a report, as `report_pictures.json`: made where the pictures of the data are at hand, and
 * kept, so that the report can be made again without them.
 *
 * @module
 */
import { join } from "node:path";
import { z } from "../deps/zod.ts";
import { LockstepError, reasonOf } from "../base/errors.ts";
import { writeFileAtomically } from "../base/paths.ts";
import { readRegularText } from "../base/regular_file.ts";

/** Name of the file in a run folder. */
export const REPORT_PICTURES_FILE = "report_pictures.json";

/** Longest side of a picture, in pixels: sharp on a dense screen at half of that. */
export const MAX_SIDE = 192;
/** At most so many pictures of each kind. */
export const MAX_PICTURES = { samples: 12, mistakes: 24, batch: 16 };

const size = z.int().positive().max(4096);
const pictureShape = {
  width: size,
  height: size,
  /** Nothing but a picture: it goes into the page as it is. */
  image: z.string().regex(/^data:image\/(jpeg|png);base64,[A-Za-z0-9+/]+=*$/),
};

const predictedSchema = z.object({
  ...pictureShape,
  path: z.string(),
  trueClass: z.string(),
  predictedClass: z.string(),
  /** Probability of the predicted class, 0 … 1. */
  confidence: z.number().nullable(),
});

const picturesSchema = z.object({
  /** The epoch of the weights that predicted. */
  epoch: z.int().nonnegative(),
  /** Validation images, evenly spread. */
  samples: z.array(predictedSchema),
  /** Those taken for another class, the surest first. */
  mistakes: z.array(predictedSchema),
  /** True if the batch is mixed as in training; older versions only augmented it. */
  batchAsTrained: z.literal(true).optional(),
  /** The first images of the first step. */
  batch: z.array(z.object({
    ...pictureShape,
    class: z.string(),
    /** The class of the image that it is mixed with, where that is another, and the share of its own. */
    mixed: z.object({ class: z.string(), share: z.number().min(0).max(1) }).optional(),
  })),
});

/** A validation image and what the network takes it for. */
export type PredictedPicture = z.output<typeof predictedSchema>;
/** The pictures of a report. */
export type ReportPictures = z.output<typeof picturesSchema>;

/** Writes the pictures into a run folder. */
export async function saveReportPictures(folder: string, pictures: ReportPictures): Promise<void> {
  await writeFileAtomically(join(folder, REPORT_PICTURES_FILE), JSON.stringify(pictures) + "\n");
}

/**
 * Reads them back.
 *
 * @throws {Deno.errors.NotFound} when there are none
 * @throws {LockstepError} when the file holds something else
 */
export async function readReportPictures(folder: string): Promise<ReportPictures> {
  const path = join(folder, REPORT_PICTURES_FILE);
  const text = await readRegularText(path);
  try {
    return picturesSchema.parse(JSON.parse(text));
  } catch (error) {
    const reason = error instanceof z.ZodError ? error.issues[0].message : reasonOf(error);
    throw new LockstepError(`${path} holds no pictures of a report: ${reason}`);
  }
}
