/**
 * Scores batches in eval mode with a model, its loss and metrics: in a run that trains, and in an evaluation.
 *
 * @module
 */
import type { CallOptions } from "../engine/capture/call_options.ts";
import { CapturedFunction } from "../engine/capture/capture.ts";
import { tf } from "../engine/tf.ts";
import type { Metric } from "../metrics/user_metrics.ts";
import { findFrozenBody } from "../models/frozen_body.ts";
import { applyModel, classesOf } from "../models/heads.ts";
import { findNonFiniteLayer } from "../models/non_finite_layer.ts";
import { parametersOf } from "../models/parameters.ts";
import type { LossFunction } from "../optim/loss.ts";
import type { LossName } from "../optim/loss_config.ts";
import type { FeatureCache } from "./feature_cache.ts";
import { Features } from "./features.ts";
import { ImageStage } from "./image_stage.ts";
import type { LabelledImages } from "./labelled_images.ts";
import { TargetForm, type TargetTensors } from "./target_form.ts";
import { nonFiniteLayerOf, readScores, score, type Scores } from "./scores.ts";

/** The loss of a sample. */
export interface LossOptions {
  readonly loss: LossName | LossFunction;
  readonly labelSmoothing: number;
  /** Weight of each class; 1 unless given. */
  readonly classWeights?: readonly number[];
}

/** Settings of a scorer. */
export interface ScorerOptions {
  /** Plain cross-entropy unless given. */
  readonly loss?: LossOptions;
  /** Metrics of the user's own. */
  readonly metrics?: readonly Metric[];
  /** Run each part as one TensorFlow function. */
  readonly capture: boolean;
  /** Options of the compilation of these functions. */
  readonly call?: CallOptions;
  /** Make the targets' distributions on the device (default: on a GPU). */
  readonly targetsOnDevice?: boolean;
}

const PLAIN: LossOptions = { loss: "crossEntropy", labelSmoothing: 0 };

/** A model, and the function that scores a batch with its present weights. All float32. */
export class ModelScorer implements Disposable {
  readonly model: tf.LayersModel;
  readonly loss: LossOptions;
  /** The frozen body, where there is one: then the head alone is computed with the batch. */
  readonly features: Features | undefined;
  readonly #targets: TargetForm;
  readonly #stage: ImageStage;
  readonly #evaluate: CapturedFunction;

  constructor(
    model: tf.LayersModel,
    { loss = PLAIN, metrics, capture, call, targetsOnDevice }: ScorerOptions,
  ) {
    this.model = model;
    this.loss = loss;
    this.#targets = new TargetForm({ numClasses: classesOf(model), ...loss }, targetsOnDevice);
    this.#stage = new ImageStage(capture);
    const parameters = parametersOf(model);
    const variables = () => parameters.map(({ variable }) => variable);
    const compile = { variables, capture, ...call };
    const frozen = findFrozenBody(model);
    this.features = "obstacle" in frozen ? undefined : new Features(frozen, this.#stage, compile);
    this.#evaluate = new CapturedFunction(
      "evaluate",
      (start, ...inputs) => {
        const targets = this.targetsFrom(start, inputs);
        return score(this.outputs(start, false)[0], loss.loss, targets, metrics);
      },
      compile,
    );
  }

  /** Scores images in eval mode. */
  async evaluate(batch: LabelledImages): Promise<Scores> {
    const inputs = await this.inputs(batch, this.features?.caches?.val);
    const scores = readScores(await this.#evaluate.call(inputs), this.weightOf(batch));
    tf.dispose(inputs);
    return scores;
  }

  /** As {@linkcode nonFiniteLayerOf}, with the present weights; from the kept features on where a row holds no image. */
  findNonFiniteLayer(batch: LabelledImages): string | undefined {
    const { features } = this;
    const { indices, unread } = batch;
    if (!unread || !indices || !features?.caches) return nonFiniteLayerOf(this.model, batch);
    const kept = features.kept(indices, features.caches.val);
    const layer = findNonFiniteLayer(this.model, kept, (start) => features.head(start, false));
    kept.dispose();
    return layer;
  }

  /** Makes tensors of images. */
  get stage(): ImageStage {
    return this.#stage;
  }

  /** The captured function. */
  get fn(): CapturedFunction {
    return this.#evaluate;
  }

  /** Returns the divisor of the sum of a batch's losses. */
  weightOf(batch: LabelledImages): number {
    return this.#targets.weightOf(batch);
  }

  /** Returns the tensor with which a pass starts, features or images, and those of the targets. */
  async inputs(batch: LabelledImages, cache: FeatureCache | undefined): Promise<tf.Tensor[]> {
    const start = this.features
      ? await this.features.of(batch, cache)
      : await this.#stage.tensorOf(batch);
    return [start, ...this.#targets.inputs(batch)];
  }

  /** Returns the targets of {@linkcode inputs}, the start's left out; more inputs may follow. */
  targetsFrom(start: tf.Tensor, inputs: readonly tf.Tensor[]): TargetTensors {
    return this.#targets.read(inputs, start.shape[0]);
  }

  /** Returns the model's outputs, the auxiliary classifier's last, from where {@linkcode inputs} starts. */
  outputs(start: tf.Tensor, training: boolean): tf.Tensor2D[] {
    return this.features
      ? [this.features.head(start, training)]
      : applyModel(this.model, start, training);
  }

  /** Releases the traced functions and the model. */
  [Symbol.dispose](): void {
    this.dispose();
    this.model.dispose();
  }

  /** Releases the traced functions; the model stays. */
  dispose(): void {
    this.#evaluate.dispose();
    this.#stage[Symbol.dispose]();
    this.features?.[Symbol.dispose]();
  }
}
