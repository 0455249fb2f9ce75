/**
 * The config as a program writes it: made of the schemas by `deno task make:config`.
 *
 * @module
 */
import type { TransformInput } from "../data/transforms/transform_specs.ts";

/** A config as it may be written. */
export interface ConfigInput {
  /**
   * Name of the run, and in the form that files' names have a part of its folder's name; its
   * images' unless given.
   */
  name?: string | undefined;
  /** Seed of initial weights, shuffles, augmentation and dropout. Default: `0`. */
  seed?: number | undefined;
  /**
   * The device: `auto` takes GPUs where TensorFlow finds any, `gpu` refuses to go on without.
   * Default: `auto`.
   */
  device?: "auto" | "cpu" | "gpu" | undefined;
  /**
   * GPUs to compute on, such as `[0, 2]`: their indices, as CUDA counts those that
   * CUDA_VISIBLE_DEVICES shows, or their UUIDs (`GPU-…`, or `MIG-…` for MIG instances); unless
   * set, those that nobody else computes on.
   */
  devices?: number | string | (number | string)[] | undefined;
  /**
   * Worker processes, one per GPU; unless set, one for each of `devices` or each free GPU, and a
   * single one on the CPU.
   */
  workers?: number | undefined;
  /** Folder that gets a folder per run. Default: `runs`. */
  out?: string | undefined;
  /** The network that is trained, and its initial weights. */
  model: ModelInput;
  /** The images, and how they become batches. */
  data: DataInput;
  /** The settings of training. Names and defaults are PyTorch's. */
  train: TrainInput;
  /** Validation beside the one at the end of each epoch, and metrics of your own. */
  validate?: ValidateInput | undefined;
  /** The checkpoints of a run that are kept beside the newest one. */
  checkpoint?: CheckpointInput | undefined;
  /** The execution of steps. */
  engine?: EngineInput | undefined;
  /**
   * The exchange of gradients: between the workers of one Linux machine by `nccl` (a GPU for each
   * worker) or through `shared-memory`, or through the broker with `nats`; `auto` takes the first
   * of these that works here. Default: `auto`.
   */
  exchange?: "auto" | "nccl" | "shared-memory" | "nats" | undefined;
  /** The exchange between GPUs by NCCL. */
  nccl?: NcclInput | undefined;
  /** The message broker. */
  nats?: NatsInput | undefined;
  /** Other hosts that take part in the run. */
  hosts?: HostsInput | undefined;
  /** Time limits of processes that wait for each other. */
  liveness?: LivenessInput | undefined;
  /**
   * The way on when a worker dies or stands still: with `restart` another one takes its place,
   * with `shrink` the others go on without it, with `fail` the run ends. The others keep their
   * state, and no step is lost. Default: `restart`.
   */
  onWorkerLost?: "restart" | "shrink" | "fail" | undefined;
  /** Restarts within an hour after which another lost worker ends the run. Default: `3`. */
  maxRestarts?: number | undefined;
  /** Show the run in the browser while it goes on; `true` for the defaults. Default: `false`. */
  dashboard?: boolean | DashboardInput | undefined;
  /** Other places that keep the run's numbers. */
  loggers?: LoggersInput | undefined;
}

/** The network that is trained, and its initial weights. */
export interface ModelInput {
  /** An architecture; `custom`, or nothing, with `module`. */
  name?:
    | "alexnet"
    | "densenet121"
    | "efficientnet_lite0"
    | "inception_v3"
    | "mobilenet_v2"
    | "resnet18"
    | "resnet34"
    | "resnet50"
    | "squeezenet1_0"
    | "squeezenet1_1"
    | "vgg11_bn"
    | "vgg16_bn"
    | "plain_cnn"
    | "custom"
    | undefined;
  /**
   * A module of your own that exports `createModel`, instead of a named architecture
   * (docs/library.md).
   */
  module?: string | undefined;
  /**
   * `pretrained` (ImageNet), `pretrained-v2` (torchvision's newer ones, of resnet50 and
   * mobilenet_v2), `none` (from scratch), or the path of a `.pth` or `.safetensors` file. Unless
   * set, `pretrained`, and `none` with `module`.
   */
  weights?: string | undefined;
  /**
   * Start with a fresh last layer when the weights have another number of classes; unless set,
   * for `pretrained` only.
   */
  replaceHead?: boolean | undefined;
  /** Freeze everything but the last layer. Default: `false`. */
  featureExtract?: boolean | undefined;
  /** Patterns of the parameters that learn, such as `layer4.*`; all others are frozen. */
  train?: string[] | undefined;
  /**
   * Run BatchNorm layers in eval mode during training; unless set, those whose own parameters are
   * frozen.
   */
  freezeBatchNorm?: boolean | undefined;
  /** Layers in the place of the architecture's last one. */
  head?: TransformInput[] | undefined;
  /** Share that the architecture's own Dropout layers drop; unless set, as in its paper. */
  dropout?: number | undefined;
  /** Greatest probability of skipping a block, where the architecture has stochastic depth. */
  stochasticDepth?: number | undefined;
  /**
   * Take images normalized for ImageNet to the range that Inception's weights were made for, as
   * torchvision does; unless set, for `pretrained` only.
   */
  transformInput?: boolean | undefined;
}

/** The images, and how they become batches. */
export interface DataInput {
  /** A data set that Lockstep fetches, where no folder is named as `root`. */
  dataset?: "food-groups" | "hymenoptera" | "catdog" | "cifar10" | null | undefined;
  /**
   * A folder with `train/` and `val/`, or, with `valFraction`, one folder of classes, or
   * CIFAR-10's binary files; or an archive of one of these (`.tar.gz`, `.tgz`, `.tar`, `.zip`).
   */
  root?: string | null | undefined;
  /**
   * A module of your own that exports `createDataset`, instead of images on the disk
   * (docs/library.md).
   */
  module?: string | null | undefined;
  /** The layout of the images on the disk: `imageFolder` unless the data set has another. */
  format?: "imageFolder" | "cifar10" | undefined;
  /** Folder of the training images below the root: `train` unless the data set has another. */
  trainFolder?: string | undefined;
  /** Folder of the validation images below the root: `val` unless the data set has another. */
  valFolder?: string | undefined;
  /** Share of a single folder's images that validate; a hash of each path decides which. */
  valFraction?: number | null | undefined;
  /**
   * Another number gives another split by `valFraction`; the run's `seed` doesn't change it.
   * Default: `0`.
   */
  splitSeed?: number | undefined;
  /** Transforms of training images, in order. */
  train: TransformInput[];
  /** Transforms of validation images, in order. */
  val: TransformInput[];
  /**
   * The mixes of training images with each other: in each step one of these; none unless given.
   */
  mix?: TransformInput[] | undefined;
  /**
   * The effect of an image that can't be read: end the run, or be counted and left out. Default:
   * `fail`.
   */
  onError?: "fail" | "skip" | undefined;
  /** Batches that are decoded ahead of the training step. Default: `4`. */
  prefetch?: number | undefined;
  /**
   * Threads of each worker that read, decode and transform images; unless set, the cores divided
   * by the workers.
   */
  loaderThreads?: number | undefined;
  /**
   * Memory that all workers share for decoded images; `null`: each worker keeps some by itself.
   */
  cache?: number | string | null | undefined;
  /**
   * A folder that keeps decoded images for later epochs and runs, on which the transforms before
   * the first random one have been run; `null` keeps none on the disk.
   */
  cacheDir?: string | null | undefined;
  /** The most that `cacheDir` may take; when it is full, further images aren't kept in it. */
  cacheDirBytes?: number | string | undefined;
  /**
   * Image files that a run's record keeps a hash of, by which a resumed run notices other
   * contents of the same size: `auto` are all of a set of at most 50,000 files and 1 GiB, `all`
   * takes as long as reading them, `none` compares paths, classes and sizes. Default: `auto`.
   */
  fileHashes?: "auto" | "all" | "none" | undefined;
  /**
   * The files of further hosts: `copy` is their own copy, or a folder that they share; `fetch`:
   * each host fetches all files from the coordinator before it starts, and keeps them. Default:
   * `copy`.
   */
  hosts?: "copy" | "fetch" | undefined;
  /**
   * The comparison of a further host's files with the coordinator's: paths and `sizes`, or also
   * `hashes`, which takes as long as reading all files on both hosts. Default: `sizes`.
   */
  verify?: "sizes" | "hashes" | undefined;
  /**
   * The most that the fetched files of all data sets may take on a host; those used longest ago
   * are removed.
   */
  hostCacheBytes?: number | string | undefined;
  /** Pixels above which an image is refused before it is decoded. Default: `100000000`. */
  maxPixels?: number | undefined;
}

/** The settings of training. Names and defaults are PyTorch's. */
export interface TrainInput {
  /** Passes over all training samples. */
  epochs: number;
  /** Samples per step over all workers. */
  batchSize?: number | undefined;
  /** Samples per step of one worker: the alternative to `batchSize`. */
  batchSizePerWorker?: number | undefined;
  /**
   * The most samples that a worker computes in one forward and backward pass: each worker
   * computes its share of a batch in as few passes as that takes, and updates once. The
   * alternative to `accumulationSteps`.
   */
  microBatchSize?: number | undefined;
  /**
   * Leave out the last step of an epoch where it is smaller than the others, as `drop_last` of
   * PyTorch's DataLoader. Default: `false`.
   */
  dropLast?: boolean | undefined;
  /**
   * `crossEntropy` on logits; `nll` on log-probabilities, for a head that ends in LogSoftmax.
   * Default: `crossEntropy`.
   */
  loss?: "crossEntropy" | "nll" | undefined;
  /** A module of your own that exports `lossPerSample`, instead of `loss` (docs/library.md). */
  lossModule?: string | undefined;
  /**
   * Share of the target that is spread evenly over all classes (Szegedy et al. 2015,
   * arXiv:1512.00567). Default: `0`.
   */
  labelSmoothing?: number | undefined;
  /**
   * Weight of each class: by name, in the order of the classes, or `balanced`: the rarer, the
   * heavier. With 0 a class contributes nothing to the loss.
   */
  classWeights?: "balanced" | number[] | Record<string, number> | undefined;
  /** The optimizer, as in `torch.optim`. Default: `sgd`. */
  optimizer?: "adam" | "adamw" | "sgd" | undefined;
  /** Learning rate before the schedule. Default: `0.001`. */
  lr?: number | undefined;
  /**
   * Adam's and AdamW's decay of the averages of the gradient and of its square; [0.9, 0.999]
   * unless set.
   */
  betas?: [number, number] | null | undefined;
  /** Adam's and AdamW's, added to the denominator; 1e-8 unless set. */
  eps?: number | null | undefined;
  /** SGD's momentum; 0.9 unless set. */
  momentum?: number | null | undefined;
  /** SGD's dampening of momentum; 0 unless set. */
  dampening?: number | null | undefined;
  /** SGD's momentum in Nesterov's form; false unless set. */
  nesterov?: boolean | null | undefined;
  /**
   * SGD and Adam: L2 penalty, added to the gradient (0 unless set); AdamW: decoupled (0.01 unless
   * set).
   */
  weightDecay?: number | null | undefined;
  /** Groups of parameters with settings of their own. Default: `[]`. */
  groups?: GroupInput[] | undefined;
  /** The course of the learning rate. Default: `{"name":"constant","per":"epoch"}`. */
  schedule?: ScheduleInput | undefined;
  /** Scales the gradient down to this 2-norm over all parameters, as `clip_grad_norm_`. */
  clipGradNorm?: number | undefined;
  /** Limits each element of the gradient to ± this, as `clip_grad_value_`. */
  clipGradValue?: number | undefined;
  /**
   * Micro-batches in which each worker computes its share of a batch, one after the other: less
   * memory, the same step. The alternative to `microBatchSize`. Default: `1`.
   */
  accumulationSteps?: number | undefined;
  /**
   * Let BatchNorm normalize by the rows of all workers, as PyTorch's SyncBatchNorm, instead of by
   * each worker's own. Default: `false`.
   */
  syncBatchNorm?: boolean | undefined;
  /**
   * Exponential moving average of the weights; if set, the averages are validated and kept as
   * best.
   */
  ema?: EmaInput | undefined;
  /**
   * The answer to a step whose loss or gradients are NaN or infinite on any worker: `fail` ends
   * the run before the update; `skip` leaves the step out on all workers, and counts it. Default:
   * `fail`.
   */
  onNonFinite?: "fail" | "skip" | undefined;
  /**
   * With `onNonFinite: skip`, the most steps in a row that are skipped; one more ends the run.
   * Default: `10`.
   */
  maxNonFiniteSteps?: number | undefined;
  /**
   * Steps between two comparisons of the workers' parameters and running statistics, bit by bit;
   * a worker that differs is named and ends the run. 0 compares none. Default: `0`.
   */
  detectDivergence?: number | undefined;
  /** End when an epoch's validation gets no better any more. */
  earlyStopping?: EarlyStoppingInput | undefined;
  /**
   * Compute the features of each image once and keep them, where the body is frozen and no
   * transform of the training images is random. `true`, or how many bytes each worker may keep.
   * Default: `false`.
   */
  featureCache?: boolean | FeatureCacheInput | undefined;
  /**
   * Steps between two points of the training loss in `losses.csv` and `losses.png`; unless set,
   * 20 points per epoch.
   */
  logEverySteps?: number | undefined;
}

/** Groups of parameters with settings of their own. */
export interface GroupInput {
  /**
   * Patterns of parameter names, such as `fc.*`; a parameter belongs to the first group that
   * fits.
   */
  match: string[];
  /** Learning rate of the group before the schedule. */
  lr?: number | undefined;
  /** Weight decay of the group. */
  weightDecay?: number | undefined;
}

/** Keys that every schedule has. */
export interface ScheduleTiming {
  /** The unit of the schedule's numbers: epochs or optimizer steps. Default: `epoch`. */
  per?: "epoch" | "step" | undefined;
  /**
   * A linear rise to the learning rate before the schedule begins, as
   * `torch.optim.lr_scheduler.LinearLR`.
   */
  warmup?: WarmupInput | undefined;
}

/**
 * A linear rise to the learning rate before the schedule begins, as
 * `torch.optim.lr_scheduler.LinearLR`.
 */
export interface WarmupInput {
  /** Epochs or steps, as `per` says. */
  length: number;
  /** Share of the learning rate at the start. Default: `1/3`. */
  startFactor?: number | undefined;
}

/** The course of the learning rate. */
export type ScheduleInput =
  | (ScheduleTiming & {
    /** Name of the schedule, as in `torch.optim.lr_scheduler`. */
    name: "CosineAnnealingLR";
    /** Epochs or steps from the full rate to `etaMin`; unless set, all that follow the warm-up. */
    tMax?: number | undefined;
    /** Learning rate at the end. Default: `0`. */
    etaMin?: number | undefined;
  })
  | (ScheduleTiming & {
    /** Name of the schedule, as in `torch.optim.lr_scheduler`. */
    name: "ExponentialLR";
    /** Factor of each epoch or step. */
    gamma: number;
  })
  | (ScheduleTiming & {
    /** Name of the schedule, as in `torch.optim.lr_scheduler`. */
    name: "MultiStepLR";
    /** Epochs or steps after which the rate decays. */
    milestones: number[];
    /** Factor of one decay. Default: `0.1`. */
    gamma?: number | undefined;
  })
  | (ScheduleTiming & {
    /** Name of the schedule, as in `torch.optim.lr_scheduler`. */
    name: "StepLR";
    /** Epochs or steps between two decays. */
    stepSize: number;
    /** Factor of one decay. Default: `0.1`. */
    gamma?: number | undefined;
  })
  | (ScheduleTiming & {
    /** Name of the schedule, as in `torch.optim.lr_scheduler`. */
    name: "constant";
  });

/**
 * Exponential moving average of the weights; if set, the averages are validated and kept as
 * best.
 */
export interface EmaInput {
  /**
   * The rule for when the averages are updated, and by how much. `steps` counts the optimizer's
   * steps through the run; `torchvision` is the rule of torchvision's reference training: each
   * epoch counts anew, the weights are copied during warm-up, and the decay is scaled by batch
   * size, `everySteps` and epochs. Default: `steps`.
   */
  rule?: "steps" | "torchvision" | undefined;
  /**
   * Share of the averages that stays at each update: 0.999 unless set, 0.99998 for `torchvision`.
   */
  decay?: number | undefined;
  /** Steps between two updates: 1 unless set, 32 for `torchvision`. */
  everySteps?: number | undefined;
}

/** End when an epoch's validation gets no better any more. */
export interface EarlyStoppingInput {
  /** `accuracy`, `loss`, or a metric of your own. Default: `accuracy`. */
  metric?: string | undefined;
  /** The direction that is better: `min` for the loss, `max` for everything else, unless set. */
  mode?: "max" | "min" | undefined;
  /** Epochs without improvement after which training ends. */
  patience: number;
  /** The change that a value must exceed to count as an improvement. Default: `0`. */
  minDelta?: number | undefined;
}

/**
 * Compute the features of each image once and keep them, where the body is frozen and no
 * transform of the training images is random. `true`, or how many bytes each worker may keep.
 */
export interface FeatureCacheInput {
  /** Bytes of features that each worker may keep. Default: `500000000`. */
  maxBytes?: number | undefined;
}

/** Validation beside the one at the end of each epoch, and metrics of your own. */
export interface ValidateInput {
  /** Validate within an epoch too, each time so many of its steps are done. */
  everySteps?: number | undefined;
  /** Validate before the first step too: what the network can do untrained. Default: `false`. */
  atStart?: boolean | undefined;
  /** A module of your own whose exported functions are metrics (docs/library.md). */
  metricsModule?: string | undefined;
}

/** The checkpoints of a run that are kept beside the newest one. */
export interface CheckpointInput {
  /**
   * The metric that decides what `best` is: `accuracy`, `loss`, or one of your own. Default:
   * `accuracy`.
   */
  monitor?: string | undefined;
  /** The direction that is better: `min` for the loss, `max` for everything else, unless set. */
  mode?: "max" | "min" | undefined;
  /** Save `last` within an epoch too, each time this number of its steps is done. */
  everySteps?: number | undefined;
  /**
   * Keep the model each time this number of epochs is done, as `checkpoints/epoch-5`; none unless
   * set.
   */
  everyEpochs?: number | undefined;
  /** The number of those that stay, the newest; all unless set. */
  keep?: number | undefined;
}

/** The execution of steps. */
export interface EngineInput {
  /**
   * Run each step as one TensorFlow function; `false` runs op by op (slower; the reference).
   * Default: `true`.
   */
  capture?: boolean | undefined;
  /**
   * Format of the factors of convolutions and matrix products: `float32` is exact, `tf32` rounds
   * the factors on GPUs, `float16` (with loss scaling) and `bfloat16` (`bf16` is its earlier
   * name) also keep activations with 16 bits. Parameters, sums, the loss and the optimizer stay
   * float32. Default: `float32`.
   */
  precision?: "float32" | "tf32" | "float16" | "bfloat16" | "bf16" | undefined;
  /**
   * Give the same bits in each run on GPUs too, where this costs speed; a CPU always does.
   * Default: `false`.
   */
  deterministic?: boolean | undefined;
  /** Threads per worker; unless set, the cores divided by the workers. */
  threadsPerWorker?: number | undefined;
  /**
   * The most memory of its GPU that a worker takes: a part of it up to 1, such as `0.5`, or a
   * size such as `20GB`; unless set, what it needs, as it grows.
   */
  gpuMemory?: number | string | undefined;
  /**
   * Compute also on GPUs that other runs of this machine hold, where there are no others, or
   * where `devices` names them: memory and speed are shared. Default: `false`.
   */
  shareGpus?: boolean | undefined;
  /**
   * Compile each step with XLA: for GPUs, where it fuses; on CPUs it is slower, and slow to
   * start. Default: `false`.
   */
  xla?: boolean | undefined;
}

/** The exchange between GPUs by NCCL. */
export interface NcclInput {
  /**
   * Gradients are summed in buckets of at most this size, while the backward pass makes those of
   * the layers before; 0 sums all when it has ended. Faster where the links between the cards are
   * slow: try 25 MB.
   */
  bucketSize?: 0 | number | string | undefined;
}

/** The message broker. */
export interface NatsInput {
  /**
   * A running nats-server, such as `nats://host:4222`; unless set, the coordinator starts one.
   * Credentials in it are kept by the process alone: a validated config has the address without
   * them.
   */
  url?: string | undefined;
  /**
   * A PEM file with the certificate of the authority that signed the server's, where this machine
   * doesn't know it. With it, only TLS will do.
   */
  ca?: string | undefined;
  /**
   * A file with the credentials for the server of `nats.url`, which no other user may open: a
   * `.creds` file, the seed of an nkey, `user:password`, or a token.
   */
  credentials?: string | undefined;
  /**
   * Beginning of the subjects on the server of `nats.url`, where its permissions ask for one,
   * such as `lockstep.alice`; `lockstep` unless set.
   */
  prefix?: string | undefined;
  /** Port of the server that the coordinator starts; unless set, a free one. */
  port?: number | undefined;
  /**
   * Seconds for which a server that is gone or stands still is waited for before the run fails.
   * Default: `30`.
   */
  reconnectTimeout?: number | undefined;
  /**
   * Restarts within an hour of the server that the coordinator starts, when it dies or stands
   * still; 0 ends the run instead. Default: `10`.
   */
  maxRestarts?: number | undefined;
  /**
   * The dtype of gradients on the way through the broker: values of 16 bits take half of the
   * bytes and lose digits. `bfloat16` reaches as far as float32; `float16` keeps more digits, but
   * values from 65520 on become infinite, which ends the run. Sums are made in float32, and
   * running statistics travel as float32, whatever is set. Default: `float32`.
   */
  gradientDtype?: "float32" | "float16" | "bfloat16" | undefined;
  /**
   * Gradients go to the broker in buckets of at least this size, while the backward pass makes
   * those of the layers before; 0 sends all when it has ended. Makes no difference to the result.
   */
  bucketSize?: 0 | number | string | undefined;
}

/** Other hosts that take part in the run. */
export interface HostsInput {
  /**
   * Hosts of the run: this one, and others that join it by the line that is printed. Default:
   * `1`.
   */
  count?: number | undefined;
  /**
   * Workers of each host in order, such as `[0, 4, 4]`, where the coordinator's host, the first,
   * may have none; unless set, `workers` are spread evenly, and the first hosts have one more.
   */
  workers?: number[] | undefined;
  /**
   * Address and port at which the nats-server listens for other hosts, such as `0.0.0.0:4222` for
   * all addresses of this machine.
   */
  listen?: string | undefined;
  /**
   * The name, address, network (`10.0.0.0/8`) or interface (`eth0`) by which other hosts reach
   * this one; unless set, all addresses are tried.
   */
  address?: string | undefined;
  /**
   * A file with the token that lets other hosts in, which no other user may open; it is made if
   * it is missing. Unless set, the file that `LOCKSTEP_TOKEN_FILE` names, or `join-token` in the
   * cache folder.
   */
  tokenFile?: string | undefined;
  /**
   * Encrypt what goes between hosts; `false` is for a server at 127.0.0.1 alone. Default: `true`.
   */
  tls?: boolean | undefined;
  /**
   * A PEM file with the certificate of the nats-server, made out to the name by which hosts join,
   * with those of intermediate authorities behind it; unless set, one is made, and its
   * fingerprint stands in the line for other hosts.
   */
  certificate?: string | undefined;
  /** A PEM file with the key of `hosts.certificate`, which no other user may open. */
  key?: string | undefined;
  /**
   * A PEM file with the certificate of the authority that signed `hosts.certificate`, where this
   * machine doesn't know it.
   */
  ca?: string | undefined;
  /** Seconds in which the other hosts must join. Default: `600`. */
  joinTimeout?: number | undefined;
}

/** Time limits of processes that wait for each other. */
export interface LivenessInput {
  /**
   * Seconds that workers get to start, load their libraries and join, and then for a first
   * heartbeat. Default: `120`.
   */
  joinTimeout?: number | undefined;
  /** Seconds without a heartbeat after which a process counts as lost. Default: `8`. */
  lostAfter?: number | undefined;
  /**
   * Seconds without progress of any rank after which a standstill is reported, with what each
   * rank does; three times as long for the first step, and at least three times the longest wait
   * so far. Default: `10`.
   */
  reportAfter?: number | undefined;
  /**
   * Seconds without progress, though its process lives, after which a worker counts as lost that
   * has work of its own to do; three times as long for the first step, and at least three times
   * the longest time that such work has taken so far. Default: `150`.
   */
  stallAfter?: number | undefined;
}

/** Show the run in the browser while it goes on; `true` for the defaults. */
export interface DashboardInput {
  /** Port; unless set, 8470 or the next one that is free. */
  port?: number | undefined;
  /**
   * Address to listen at; another one than this machine's own makes the page ask for a token.
   * Default: `127.0.0.1`.
   */
  host?: string | undefined;
}

/** Other places that keep the run's numbers. */
export interface LoggersInput {
  /** Write TensorBoard's event files into `<run>/tensorboard/`. Default: `true`. */
  tensorboard?: boolean | undefined;
}
