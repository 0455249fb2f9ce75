/**
 * The config as a program writes it: what the schema accepts, spelt out for documentation. A test holds both to
 * each other.
 *
 * @module
 */
import type { TransformInput } from "../data/transforms/transform_specs.ts";
import type { ModelName } from "../models/registry.ts";
import type { DataFormat, DatasetName } from "../provision/dataset_catalogue.ts";

/** A config as it may be written: keys with a default may be left out. */
export interface ConfigInput {
  /** Name of the run, of which its folder's is made (default: that of the data's folder or data set). */
  name?: string;
  /** Seed of initial weights, shuffles, augmentation and dropout (default 0). */
  seed?: number;
  /** What is computed on (default `auto`: GPUs where there are any). */
  device?: "auto" | "cpu" | "gpu";
  /** Worker processes (default 2). */
  workers?: number;
  /** Folder that gets a folder per run (default `runs`). */
  out?: string;
  /** What is trained, and from which weights. */
  model: ModelInput;
  /** Which images, and how they become batches. */
  data: DataInput;
  /** How it is trained. */
  train: TrainInput;
  /** When it is validated, and by which metrics beside accuracy and loss. */
  validate?: ValidateInput;
  /** What is kept beside the newest state. */
  checkpoint?: CheckpointInput;
  /** How steps run. */
  engine?: EngineInput;
  /** How gradients travel (default `auto`: shared memory where there is any). */
  exchange?: "auto" | "shared-memory" | "nats";
  /** Which message broker. */
  nats?: NatsInput;
  /** How long processes wait for each other. */
  liveness?: LivenessInput;
  /** Show the run in the browser while it goes on (default false). */
  dashboard?: boolean | DashboardInput;
  /** Who else keeps the run's numbers. */
  loggers?: LoggersInput;
}

/** `model`: what is trained, and from which weights. */
export interface ModelInput {
  /** An architecture; `custom`, or nothing, with `module`. */
  name?: ModelName | "custom";
  /** A module of your own that exports `createModel`: a `file:` URL or a path. */
  module?: string;
  /**
   * `pretrained` (ImageNet), `pretrained-v2`, `none` (from scratch), or the path of a `.pth` or `.safetensors` file
   * (default `pretrained`, and `none` with `module`).
   */
  weights?: string;
  /** Start with a fresh last layer when the weights have another number of classes. */
  replaceHead?: boolean;
  /** Freeze everything but the last layer (default false). */
  featureExtract?: boolean;
  /** Patterns of the parameters that learn, such as `layer4.*`; all others are frozen. */
  train?: string[];
  /** Run BatchNorm layers in eval mode during training; unless set, those whose own parameters are frozen. */
  freezeBatchNorm?: boolean;
  /** Layers in the place of the architecture's last one, such as `[{ Linear: 500 }, "ReLU", { Linear: "classes" }]`. */
  head?: TransformInput[];
  /** Share that the architecture's own Dropout layers drop. */
  dropout?: number;
  /** Greatest probability of skipping a block, where the architecture has stochastic depth. */
  stochasticDepth?: number;
  /** Take images normalized for ImageNet to the range that Inception's weights were made for. */
  transformInput?: boolean;
}

/** `data`: which images, and how they become batches. */
export interface DataInput {
  /** A data set that Lockstep fetches. */
  dataset?: DatasetName | null;
  /** A folder or archive of images. */
  root?: string | null;
  /** A module of your own that exports `createDataset`: a `file:` URL or a path. */
  module?: string | null;
  /** How the images lie on the disk (default `imageFolder`, or the data set's own). */
  format?: DataFormat;
  /** Folder of the training images below the root (default `train`). */
  trainFolder?: string;
  /** Folder of the validation images below the root (default `val`). */
  valFolder?: string;
  /** Share of a single folder's images that validate. */
  valFraction?: number | null;
  /** Another number gives another split; `seed` doesn't change it. */
  splitSeed?: number;
  /** Transforms of training images, in order. */
  train: TransformInput[];
  /** Transforms of validation images, in order. */
  val: TransformInput[];
  /** How training images are mixed with each other, such as `[{ MixUp: 0.2 }]`. */
  mix?: TransformInput[];
  /** What an image that can't be read does (default `fail`). */
  onError?: "fail" | "skip";
  /** Batches that are decoded ahead of the training step (default 4). */
  prefetch?: number;
  /** Memory that all workers share for decoded images: bytes, or such as `2GB`. */
  cache?: number | string | null;
  /** Pixels above which an image is refused before it is decoded (default 100 million). */
  maxPixels?: number;
}

/** `train`: how it is trained. Names and defaults are PyTorch's. */
export interface TrainInput {
  /** How often all training images are seen. */
  epochs: number;
  /** Samples per step over all workers. */
  batchSize?: number;
  /** Samples per step of one worker: the alternative to `batchSize`. */
  batchSizePerWorker?: number;
  /** Leave out the last step of an epoch where it is smaller than the others (default false). */
  dropLast?: boolean;
  /** `crossEntropy` (the default) on logits; `nll` on log-probabilities. */
  loss?: "crossEntropy" | "nll";
  /** A module of your own that exports `lossPerSample`: a `file:` URL or a path. */
  lossModule?: string;
  /** Share of the target that is spread evenly over all classes (default 0). */
  labelSmoothing?: number;
  /** Weight of each class, 0 or more: by name, in the order of the classes, or `balanced`. */
  classWeights?: "balanced" | number[] | Record<string, number>;
  /** Default `sgd`. */
  optimizer?: "sgd" | "adam" | "adamw";
  /** Learning rate before the schedule (default 0.001). */
  lr?: number;
  /** SGD's (default 0.9). */
  momentum?: number | null;
  /** SGD's (default 0). */
  dampening?: number | null;
  /** SGD's (default false). */
  nesterov?: boolean | null;
  /** Adam's and AdamW's decay of the two averages (default [0.9, 0.999]). */
  betas?: [number, number] | null;
  /** Adam's and AdamW's, added to the denominator (default 1e-8). */
  eps?: number | null;
  /** SGD and Adam: L2 penalty (default 0); AdamW: decoupled (default 0.01). */
  weightDecay?: number | null;
  /** Parameters with settings of their own. */
  groups?: GroupInput[];
  /** How the learning rate changes (default: not at all). */
  schedule?: ScheduleInput;
  /** Scales the gradient down to this 2-norm over all parameters. */
  clipGradNorm?: number;
  /** Limits each element of the gradient to ± this. */
  clipGradValue?: number;
  /** Parts in which each worker computes its share of a batch (default 1). */
  accumulationSteps?: number;
  /** Exponential moving average of the weights, which then is what is validated and kept as best. */
  ema?: EmaInput;
  /** End when an epoch's validation gets no better any more. */
  earlyStopping?: EarlyStoppingInput;
  /** Compute the features of each image once and keep them, where the body is frozen (default false). */
  featureCache?: boolean | FeatureCacheInput;
  /** Steps between two points of the training loss; unless set, 20 points per epoch. */
  logEverySteps?: number;
}

/** A group of parameters with settings of its own. */
export interface GroupInput {
  /** Patterns of parameter names, such as `fc.*`; a parameter belongs to the first group that fits. */
  match: string[];
  /** Learning rate before the schedule. */
  lr?: number;
  /** As the optimizer's. */
  weightDecay?: number;
}

/** What all schedules have. */
export interface ScheduleTiming {
  /** Whether the schedule's numbers count epochs (the default) or optimizer steps. */
  per?: "epoch" | "step";
  /** A linear rise to the learning rate before the schedule begins. */
  warmup?: WarmupInput;
}

/** A linear rise to the learning rate. */
export interface WarmupInput {
  /** Epochs or steps. */
  length: number;
  /** Share of the learning rate at the start (default 1/3). */
  startFactor?: number;
}

/** How the learning rate changes: names, keys and defaults are those of `torch.optim.lr_scheduler`. */
export type ScheduleInput =
  | (ScheduleTiming & { name: "constant" })
  | (ScheduleTiming & { name: "StepLR"; stepSize: number; gamma?: number })
  | (ScheduleTiming & { name: "MultiStepLR"; milestones: number[]; gamma?: number })
  | (ScheduleTiming & { name: "ExponentialLR"; gamma: number })
  | (ScheduleTiming & { name: "CosineAnnealingLR"; tMax?: number; etaMin?: number });

/** An average of the weights. */
export interface EmaInput {
  /** When the averages are updated, and by how much: `steps` (the default), or torchvision's reference training's. */
  rule?: "steps" | "torchvision";
  /** Share of the average that stays at each update (default 0.999; 0.99998 for `torchvision`). */
  decay?: number;
  /** Steps between two updates (default 1; 32 for `torchvision`). */
  everySteps?: number;
}

/** When training has gone on for long enough. */
export interface EarlyStoppingInput {
  /** `accuracy` (the default), `loss`, or a metric of your own. */
  metric?: string;
  /** Which way is better (default `min` for the loss, `max` for everything else). */
  mode?: "max" | "min";
  /** Epochs without improvement after which training ends. */
  patience: number;
  /** What counts as an improvement: more than this (default 0). */
  minDelta?: number;
}

/** How much is kept of the features of a frozen body. */
export interface FeatureCacheInput {
  /** Bytes that each worker may keep (default 500 million). */
  maxBytes?: number;
}

/** `validate`: when it is validated beside the end of each epoch, and by which metrics. */
export interface ValidateInput {
  /** Validate within an epoch too, each time so many of its steps are done. */
  everySteps?: number;
  /** Validate before the first step (default false). */
  atStart?: boolean;
  /** A module of your own whose exported functions are metrics: a `file:` URL or a path. */
  metricsModule?: string;
}

/** `checkpoint`: what is kept of a run beside `last`. */
export interface CheckpointInput {
  /** Which metric decides what `best` is: `accuracy` (the default), `loss`, or one of your own. */
  monitor?: string;
  /** Which way is better (default `min` for the loss, `max` for everything else). */
  mode?: "max" | "min";
  /** Save `last` within an epoch too, each time so many of its steps are done. */
  everySteps?: number;
  /** Keep the model after every so many epochs, as `checkpoints/epoch-5`. */
  everyEpochs?: number;
  /** How many of those stay, the newest; all unless set. */
  keep?: number;
}

/** `engine`: how steps run. */
export interface EngineInput {
  /** Run each step as one TensorFlow function (default true); `false` runs op by op. */
  capture?: boolean;
  /** What convolutions and matrix products multiply (default `float32`); parameters and sums stay float32. */
  precision?: "float32" | "bf16";
  /** Threads per worker; unless set, the cores divided by the workers. */
  threadsPerWorker?: number;
  /** Compile each step with XLA: for GPUs (default false). */
  xla?: boolean;
}

/** `nats`: which message broker. */
export interface NatsInput {
  /** A running nats-server, such as `nats://host:4222`; unless set, one is started. */
  url?: string;
  /** PEM file with the certificate of the authority that signed the server's, where this machine doesn't know it. */
  ca?: string;
  /** Port of the server that is started; unless set, a free one. */
  port?: number;
  /** How gradients travel over NATS (default `float32`). */
  gradientDtype?: "float32" | "float16" | "bfloat16";
  /** Bytes, or such as `8MB`, of gradients that leave the backward pass together; 0: all at its end (default 8MB). */
  bucketSize?: number | string;
}

/** `liveness`: how long processes wait for each other. */
export interface LivenessInput {
  /** Seconds that workers get to start, load their libraries and join: 1 to 86400 (default 120). */
  joinTimeout?: number;
  /** Seconds without a heartbeat after which a process counts as lost: 1 to 86400 (default 8). */
  lostAfter?: number;
}

/** `dashboard`: where the run is shown. */
export interface DashboardInput {
  /** Unless set, 8470 or the next one that is free. */
  port?: number;
  /** Address to listen at (default `127.0.0.1`); with another one the page asks for a token. */
  host?: string;
}

/** `loggers`: who else keeps the run's numbers. */
export interface LoggersInput {
  /** Write TensorBoard's event files (default true). */
  tensorboard?: boolean;
}
