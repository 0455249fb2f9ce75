/**
 * Loads a graph model as a browser would, and compares it with the model that it was made of.
 *
 * @module
 */
import { LockstepError, messageOf } from "../base/errors.ts";
import { randomStream } from "../base/random.ts";
import { tf } from "../engine/tf.ts";
import { applyModel } from "../models/heads.ts";
import { NonFiniteOutputError } from "../metrics/check_scores.ts";
import { type GraphModel, weightBytes } from "./graph_model.ts";
import { RESULT_NAMES } from "./record_graph.ts";

/** Images that are compared: another number than the ones that were recorded. */
const IMAGES = 1;
/** Greatest difference of two logits, as a share of the greatest logit. */
const TOLERANCE = 1e-3;
/** Differences that don't matter however small the logits are. */
const LEAST = 1e-6;

/** Brings a graph model into tfjs. The caller disposes of it. */
export async function loadGraphModel(model: GraphModel): Promise<tf.GraphModel> {
  const weightData = new Uint8Array(weightBytes(model));
  let end = 0;
  for (const bytes of model.weights) {
    weightData.set(bytes, end);
    end += bytes.length;
  }
  return await tf.loadGraphModel(tf.io.fromMemory({
    ...model.description,
    weightSpecs: model.weightSpecs.map((spec) => ({ ...spec, shape: [...spec.shape] })),
    weightData: weightData.buffer,
  }));
}

/**
 * Runs both on the same synthetic images.
 *
 * @returns The greatest difference of two logits
 * @throws {NonFiniteOutputError} when the model's own logits are NaN or infinite
 * @throws {LockstepError} when tfjs can't load or run the graph model, or the logits differ
 */
export async function checkGraphModel(
  graphModel: GraphModel,
  model: tf.LayersModel,
  [height, width]: readonly [number, number],
): Promise<number> {
  const random = randomStream("export", "check");
  const pixels = Float32Array.from(
    { length: IMAGES * height * width * 3 },
    () => random() * 4 - 2,
  );
  const images = tf.tensor4d(pixels, [IMAGES, height, width, 3]);
  let loaded: tf.GraphModel | undefined;
  try {
    loaded = await loadGraphModel(graphModel);
    const expected = tf.tidy(() => applyModel(model, images, false)[0].dataSync());
    const actual = tf.tidy(() =>
      (loaded!.execute(images, RESULT_NAMES[0]) as tf.Tensor).dataSync()
    );
    if (!expected.every(Number.isFinite)) {
      throw new NonFiniteOutputError(
        "The network's output is NaN or infinite for a made image: these weights can't be exported for browsers",
      );
    }
    let difference = 0;
    let greatest = 0;
    expected.forEach((value, index) => {
      difference = Math.max(difference, Math.abs(actual[index] - value));
      greatest = Math.max(greatest, Math.abs(value));
    });
    if (difference <= TOLERANCE * greatest + LEAST) return difference;
    throw new LockstepError(`its logits differ by ${difference}`);
  } catch (error) {
    if (error instanceof NonFiniteOutputError) throw error;
    throw new LockstepError(
      `The graph model for browsers doesn't do what ${model.name} does: ${messageOf(error)}: ` +
        "export other formats with --format, and please report this",
      { cause: error },
    );
  } finally {
    loaded?.dispose();
    images.dispose();
  }
}
