/**
 * The application of a trained model to images of unknown classes.
 *
 * @module
 */
import { CapturedFunction } from "../engine/capture/capture.ts";
import { tf } from "../engine/tf.ts";
import { type FeatureMap, gradCam, lastFeatureMap } from "../models/grad_cam.ts";
import { applyModel, classesOf } from "../models/heads.ts";
import { parametersOf } from "../models/parameters.ts";
import { ImageStage } from "../train/image_stage.ts";
import type { Images } from "../data/transforms/byte_images.ts";
import { rowOf } from "../train/labelled_images.ts";
import { nonFiniteLayerOf, rank, type Ranking, readRanking } from "../train/scores.ts";

/** Images [n, height, width, 3], normalized; or as bytes. */
export interface ImageBatch {
  readonly images: Images;
  readonly count: number;
  readonly height: number;
  readonly width: number;
}

/** Maps of the places where a network sees a class in some images. */
export interface Maps {
  /** Side of a map in cells. */
  readonly height: number;
  readonly width: number;
  /** A map for each image, [height, width], at least 0. */
  readonly maps: readonly Float32Array[];
}

/** Ranks classes, and explains them. The engine must be open. */
export class Predictor implements Disposable {
  readonly #model: tf.LayersModel;
  readonly #top: number;
  readonly #fullBatch: number;
  readonly #traced: CapturedFunction;
  readonly #stage = new ImageStage(true);
  #map: FeatureMap | undefined;

  /**
   * @param top Classes to rank per image; all where there are fewer
   * @param fullBatch Images in the batches that come often: these are run as one function
   */
  constructor(model: tf.LayersModel, { top, fullBatch }: { top: number; fullBatch: number }) {
    this.#model = model;
    this.#top = Math.min(top, classesOf(model));
    this.#fullBatch = fullBatch;
    const variables = parametersOf(model).map(({ variable }) => variable);
    this.#traced = new CapturedFunction("predict", (images) => this.#rank(images), {
      variables: () => variables,
      capture: true,
      random: false,
    });
  }

  /** Ranks the classes of each image. */
  async rank(batch: ImageBatch): Promise<Ranking> {
    const images = await this.#stage.tensorOf(batch);
    const results = batch.count === this.#fullBatch
      ? await this.#traced.call([images])
      : tf.tidy(() => this.#rank(images));
    images.dispose();
    return readRanking(results);
  }

  /** Name of the first layer that gives NaN or infinity for an image of a batch, if there is one. */
  nonFiniteLayer({ images, count, height, width }: ImageBatch, row: number): string | undefined {
    const batch = { images, labels: new Int32Array(count), height, width };
    return nonFiniteLayerOf(this.#model, rowOf(batch, row));
  }

  /** Name of the layer that {@linkcode explain} looks at. */
  get explainedLayer(): string {
    return this.#featureMap().name;
  }

  /**
   * Maps the places where each image shows a class (Grad-CAM).
   *
   * @param classes [n]
   * @throws {UsageError} when the network has no convolutional features
   */
  async explain(batch: ImageBatch, classes: Int32Array): Promise<Maps> {
    const map = this.#featureMap();
    const images = await this.#stage.tensorOf(batch);
    const chosen = tf.tensor1d(classes, "int32");
    const result = gradCam(map, images, chosen);
    const [count, height, width] = result.shape;
    const values = result.dataSync() as Float32Array;
    tf.dispose([images, chosen, result]);
    const size = height * width;
    const maps = Array.from(
      { length: count },
      (_, row) => values.slice(row * size, (row + 1) * size),
    );
    return { height, width, maps };
  }

  /** Releases the traced functions; the model stays. */
  [Symbol.dispose](): void {
    this.#stage[Symbol.dispose]();
    this.#traced.dispose();
  }

  #rank(images: tf.Tensor): tf.Tensor[] {
    return rank(applyModel(this.#model, images, false)[0], this.#top);
  }

  #featureMap(): FeatureMap {
    return this.#map ??= lastFeatureMap(this.#model);
  }
}
