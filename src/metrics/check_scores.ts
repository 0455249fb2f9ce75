/**
 * Checks that the results of a set of images can be measured: images that could be used, and outputs that are
 * finite.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import type { List } from "../base/lazy_list.ts";
import { listed } from "../base/listing.ts";

/** A network returned NaN or infinity for images. */
export class NonFiniteOutputError extends LockstepError {
  override name = "NonFiniteOutputError";
}

/** An image of a set. */
export interface CheckedSample {
  /** Position in the set. */
  readonly index: number;
  readonly path: string;
  /** Position of its class; below 0 where it isn't known. */
  readonly label: number;
}

/** An image that was left out. */
export interface LeftOut {
  readonly index: number;
  readonly path: string;
  readonly reason: string;
}

/** A set of images that a model has seen. */
export interface SeenSet {
  /** Names the images, such as `validation`. */
  readonly what: string;
  readonly samples: List<CheckedSample>;
  readonly classes: readonly string[];
  readonly skipped: readonly LeftOut[];
}

/** The result of an image: its loss, and its first class, or -1 where no output is finite. */
export interface Outcome {
  readonly loss: number;
  readonly first: number;
}

/** Paths named in a message before the number of further ones. */
const LISTED = 5;

/**
 * Makes sure that some images of the set, and of each of its classes, could be used.
 *
 * @throws {LockstepError} naming the class, and images with the reasons
 */
export function requireUsable({ what, samples, classes, skipped }: SeenSet): void {
  if (skipped.length === 0) return;
  const isSkipped = new Set(skipped.map(({ index }) => index));
  const reasons = (left: readonly LeftOut[]) =>
    listed(left.map(({ path, reason }) => `${path}: ${reason}`), { max: LISTED, separator: "; " });
  const cure = "mend them, or look through all of them with deno task data check";
  if (samples.every(({ index }) => isSkipped.has(index))) {
    throw new LockstepError(
      `None of the ${samples.length} ${what} images could be used (${reasons(skipped)}): ${cure}`,
    );
  }
  const usable = new Set(
    samples.filter(({ index }) => !isSkipped.has(index)).map(({ label }) => label),
  );
  if ([...usable].some((label) => label < 0)) return; // one of them may be of any class
  const lost = samples.find(({ label }) => label >= 0 && !usable.has(label));
  if (!lost) return;
  const own = new Set(
    samples.filter(({ label }) => label === lost.label).map(({ index }) => index),
  );
  throw new LockstepError(
    `None of the ${own.size} ${what} images of class ${
      JSON.stringify(classes[lost.label])
    } could be used (${reasons(skipped.filter(({ index }) => own.has(index)))}): ${cure}`,
  );
}

/**
 * Makes sure that the model's output is finite for each image that it has seen.
 *
 * @param outcomeOf By position in the set; nothing for an image that was skipped
 * @param cure The end of the message
 * @throws {NonFiniteOutputError} with the number of images whose output isn't, and some of their paths
 */
export function requireFiniteOutputs(
  { what, samples, layer }: Pick<SeenSet, "what" | "samples"> & {
    /** Name of the first layer whose output isn't finite, where that is known. */
    readonly layer?: string | undefined;
  },
  outcomeOf: (index: number) => Outcome | undefined,
  cure: string,
): void {
  const seen = samples.flatMap(({ index, path }) => {
    const outcome = outcomeOf(index);
    return outcome ? [{ ...outcome, path }] : [];
  });
  const outputs = seen.filter(({ first }) => first < 0);
  const bad = outputs.length > 0 ? outputs : seen.filter(({ loss }) => !Number.isFinite(loss));
  if (bad.length === 0) return;
  throw new NonFiniteOutputError(
    `The network's ${
      outputs.length > 0 ? "output" : "loss"
    } is NaN or infinite for ${bad.length} of ${seen.length} ` +
      `${what} images (${listed(bad.map(({ path }) => path), { max: LISTED })})` +
      `${layer === undefined ? "" : `, from the layer ${layer} on`}: ${cure}`,
  );
}
