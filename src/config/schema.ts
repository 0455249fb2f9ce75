/**
 * The whole config: one schema, composed of the pieces that live beside their owners.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { messageOf } from "../base/errors.ts";
import { pathSchema } from "../base/file_path.ts";
import { LOSS_POLICIES } from "../base/loss_policy.ts";
import { isShownName, MAX_NAME } from "../base/names.ts";
import { sizeSchema } from "../base/size_schema.ts";
import { moduleSchema } from "../base/user_module.ts";
import { dataSchema } from "../data/config.ts";
import { EXCHANGE_CHOICES } from "../exchange/registry.ts";
import { loggersSchema } from "../loggers/config.ts";
import { checkpointPolicySchema, earlyStoppingSchema } from "../metrics/monitor.ts";
import { modelSchema } from "../models/config.ts";
import { DEVICES } from "../engine/devices.ts";
import { FORMER_PRECISIONS, precisionNamed, PRECISIONS } from "../engine/precision.ts";
import { devicesSchema, gpuMemorySchema } from "../gpus/config.ts";
import { hostsSchema } from "../hosts/config.ts";
import { foreignKeys, optimizerConfig, optimizerShape, ownKeys } from "../optim/config.ts";
import { lossShape } from "../optim/loss_config.ts";
import { nonFiniteShape } from "../optim/non_finite_config.ts";
import { takeCredentials } from "../protocol/address.ts";
import { PREFIX_FORM, PREFIX_PATTERN } from "../protocol/subjects.ts";
import { GRADIENT_DTYPES } from "../protocol/messages.ts";
import { DEFAULT_MAX_SERVER_RESTARTS, DEFAULT_RECONNECT_TIMEOUT } from "../protocol/server_loss.ts";

/** Bytes of features that a worker keeps, unless configured. */
const DEFAULT_FEATURE_BYTES = 500_000_000;

/** Bytes of a bucket of gradients, unless configured. */
const DEFAULT_BUCKET_BYTES = 8_000_000;

/** Epochs, and samples per step: more are a slip of the pen, and counts of steps must stay exact. */
const MAX_COUNT = 1_000_000;

/** Workers, and threads of each. */
const MAX_PARALLEL = 1024;

/** Seconds that something may take: a day. Timers take no more than 24 days. */
const MAX_SECONDS = 86_400;

const NAME_HINT =
  `use 1 to ${MAX_NAME} characters, none of them a line break or another that doesn't show`;

type FormerPrecision = keyof typeof FORMER_PRECISIONS;

/** A whole number from 1 to a limit. */
function countUpTo(limit: number): z.ZodInt {
  const hint = `give a whole number from 1 to ${limit}`;
  return z.int(hint).min(1, hint).max(limit, hint);
}

/** Seconds to wait. */
function seconds(): z.ZodNumber {
  const hint = `give 1 to ${MAX_SECONDS} seconds`;
  return z.number(hint).min(1, hint).max(MAX_SECONDS, hint);
}

const trainSchema = z.strictObject({
  epochs: countUpTo(MAX_COUNT).describe("Passes over all training samples."),
  batchSize: countUpTo(MAX_COUNT).optional().describe("Samples per step over all workers."),
  batchSizePerWorker: countUpTo(MAX_COUNT).optional().describe(
    "Samples per step of one worker: the alternative to `batchSize`.",
  ),
  microBatchSize: countUpTo(MAX_COUNT).optional().describe(
    "The most samples that a worker computes in one forward and backward pass: each worker " +
      "computes its share of a batch in as few passes as that takes, and updates once. The " +
      "alternative to `accumulationSteps`.",
  ),
  dropLast: z.boolean().default(false).describe(
    "Leave out the last step of an epoch where it is smaller than the others, as `drop_last` " +
      "of PyTorch's DataLoader.",
  ),
  ...lossShape,
  ...optimizerShape,
  ...nonFiniteShape,
  detectDivergence: z.int().nonnegative().max(MAX_COUNT).default(0).describe(
    "Steps between two comparisons of the workers' parameters and running statistics, bit by bit; " +
      "a worker that differs is named and ends the run. 0 compares none.",
  ),
  earlyStopping: earlyStoppingSchema.optional().describe(
    "End when an epoch's validation gets no better any more.",
  ),
  featureCache: z.union([
    z.boolean(),
    z.strictObject({
      maxBytes: z.int().positive().default(DEFAULT_FEATURE_BYTES).describe(
        "Bytes of features that each worker may keep.",
      ),
    }),
  ], "give true, false or { maxBytes: … }").default(false).describe(
    "Compute the features of each image once and keep them, where the body is frozen and no " +
      "transform of the training images is random. `true`, or how many bytes each worker may " +
      "keep.",
  ),
  logEverySteps: z.int().positive().optional().describe(
    "Steps between two points of the training loss in `losses.csv` and `losses.png`; unless " +
      "set, 20 points per epoch.",
  ),
}).superRefine((train, context) => {
  for (const key of foreignKeys(train)) {
    context.addIssue({
      code: "custom",
      path: [key],
      message: `train.optimizer is ${train.optimizer}, which has no ${key}, only ` +
        `${
          ownKeys(train.optimizer).join(", ")
        }: remove the key (or --set train.${key}=null), or change train.optimizer`,
    });
  }
}).transform((train) => ({ ...train, ...optimizerConfig(train) }));

const validateSchema = z.strictObject({
  everySteps: z.int().positive().optional().describe(
    "Validate within an epoch too, each time so many of its steps are done.",
  ),
  atStart: z.boolean().default(false).describe(
    "Validate before the first step too: what the network can do untrained.",
  ),
  metricsModule: moduleSchema.optional().describe(
    "A module of your own whose exported functions are metrics (docs/library.md).",
  ),
});

const engineSchema = z.strictObject({
  capture: z.boolean().default(true).describe(
    "Run each step as one TensorFlow function; `false` runs op by op (slower; the reference).",
  ),
  precision: z.enum([...PRECISIONS, ...Object.keys(FORMER_PRECISIONS) as FormerPrecision[]])
    .default("float32").transform((name) => precisionNamed(name)!).describe(
      "Format of the factors of convolutions and matrix products: `float32` is exact, `tf32` " +
        "rounds the factors on GPUs, `float16` (with loss scaling) and `bfloat16` (`bf16` is " +
        "its earlier name) also keep activations with 16 bits. Parameters, sums, the loss and " +
        "the optimizer stay float32.",
    ),
  deterministic: z.boolean().default(false).describe(
    "Give the same bits in each run on GPUs too, where this costs speed; a CPU always does.",
  ),
  threadsPerWorker: countUpTo(MAX_PARALLEL).optional().describe(
    "Threads per worker; unless set, the cores divided by the workers.",
  ),
  gpuMemory: gpuMemorySchema.optional().describe(
    "The most memory of its GPU that a worker takes: a part of it up to 1, such as `0.5`, or a " +
      "size such as `20GB`; unless set, what it needs, as it grows.",
  ),
  shareGpus: z.boolean().default(false).describe(
    "Compute also on GPUs that other runs of this machine hold, where there are no others, or " +
      "where `devices` names them: memory and speed are shared.",
  ),
  xla: z.boolean().default(false).describe(
    "Compile each step with XLA: for GPUs, where it fuses; on CPUs it is slower, and slow to start.",
  ),
});

const natsUrlSchema = z.string().min(1).transform((text, context) => {
  try {
    return takeCredentials(text);
  } catch (error) {
    context.issues.push({ code: "custom", message: messageOf(error), input: text });
    return z.NEVER;
  }
});

const RESTARTS_HINT = `give a whole number from 0 to ${MAX_COUNT}`;

const natsSchema = z.strictObject({
  url: natsUrlSchema.optional().describe(
    "A running nats-server, such as `nats://host:4222`; unless set, the coordinator starts " +
      "one. Credentials in it are kept by the process alone: a validated config has the address " +
      "without them.",
  ),
  ca: pathSchema("name a file").optional().describe(
    "A PEM file with the certificate of the authority that signed the server's, where this " +
      "machine doesn't know it. With it, only TLS will do.",
  ),
  credentials: pathSchema("name a file").optional().describe(
    "A file with the credentials for the server of `nats.url`, which no other user may open: a `.creds` file, the " +
      "seed of an nkey, `user:password`, or a token.",
  ),
  prefix: z.string().regex(PREFIX_PATTERN, PREFIX_FORM).optional().describe(
    "Beginning of the subjects on the server of `nats.url`, where its permissions ask for one, such as " +
      "`lockstep.alice`; `lockstep` unless set.",
  ),
  port: z.int().min(1).max(65535).optional().describe(
    "Port of the server that the coordinator starts; unless set, a free one.",
  ),
  reconnectTimeout: seconds().default(DEFAULT_RECONNECT_TIMEOUT).describe(
    "Seconds for which a server that is gone or stands still is waited for before the run fails.",
  ),
  maxRestarts: z.int(RESTARTS_HINT).min(0, RESTARTS_HINT).max(MAX_COUNT, RESTARTS_HINT).default(
    DEFAULT_MAX_SERVER_RESTARTS,
  ).describe(
    "Restarts within an hour of the server that the coordinator starts, when it dies or stands still; " +
      "0 ends the run instead.",
  ),
  gradientDtype: z.enum(GRADIENT_DTYPES).default("float32").describe(
    "The dtype of gradients on the way through the broker: values of 16 bits take half of the " +
      "bytes and lose digits. `bfloat16` reaches as far as float32; `float16` keeps more digits, " +
      "but values from 65520 on become infinite, which ends the run. Sums are made in float32, " +
      "and running statistics travel as float32, whatever is set.",
  ),
  bucketSize: z.union([z.literal(0), sizeSchema]).default(DEFAULT_BUCKET_BYTES).describe(
    "Gradients go to the broker in buckets of at least this size, while the backward pass " +
      "makes those of the layers before; 0 sends all when it has ended. Makes no difference to " +
      "the result.",
  ),
});

const ncclSchema = z.strictObject({
  bucketSize: z.union([z.literal(0), sizeSchema]).default(0).describe(
    "Gradients are summed in buckets of at most this size, while the backward pass makes those of " +
      "the layers before; 0 sums all when it has ended. Faster where the links between the cards " +
      "are slow: try 25 MB.",
  ),
});

const dashboardSchema = z.strictObject({
  port: z.int().min(1).max(65535).optional().describe(
    "Port; unless set, 8470 or the next one that is free.",
  ),
  host: z.string().min(1).default("127.0.0.1").describe(
    "Address to listen at; another one than this machine's own makes the page ask for a token.",
  ),
});

const livenessSchema = z.strictObject({
  joinTimeout: seconds().default(120).describe(
    "Seconds that workers get to start, load their libraries and join, and then for a first heartbeat.",
  ),
  lostAfter: seconds().default(8).describe(
    "Seconds without a heartbeat after which a process counts as lost.",
  ),
  reportAfter: seconds().default(10).describe(
    "Seconds without progress of any rank after which a standstill is reported, with what each rank " +
      "does; three times as long for the first step, and at least three times the longest wait so far.",
  ),
  stallAfter: seconds().default(150).describe(
    "Seconds without progress, though its process lives, after which a worker counts as lost that has work " +
      "of its own to do; three times as long for the first step, and at least three times the longest time " +
      "that such work has taken so far.",
  ),
});

/** Restarts of workers within an hour, unless the config says more. */
const MAX_RESTARTS = 3;

/** The schema of a config file; keys that it doesn't know are errors. */
export const configSchema = z.strictObject({
  name: z.string().trim().min(1, NAME_HINT).refine(isShownName, NAME_HINT).default("run").describe(
    "Name of the run, and in the form that files' names have a part of its folder's name; its " +
      "images' unless given.",
  ),
  seed: z.int().nonnegative().default(0).describe(
    "Seed of initial weights, shuffles, augmentation and dropout.",
  ),
  device: z.enum(DEVICES).default("auto").describe(
    "The device: `auto` takes GPUs where TensorFlow finds any, `gpu` refuses to go on " +
      "without.",
  ),
  devices: devicesSchema.optional().describe(
    "GPUs to compute on, such as `[0, 2]`: their indices, as CUDA counts those that " +
      "CUDA_VISIBLE_DEVICES shows, or their UUIDs (`GPU-…`, or `MIG-…` for MIG instances); unless " +
      "set, those that nobody else computes on.",
  ),
  workers: countUpTo(MAX_PARALLEL).optional().describe(
    "Worker processes, one per GPU; unless set, one for each of `devices` or each free GPU, " +
      "and a single one on the CPU.",
  ),
  out: pathSchema("name a folder").prefault("runs").describe("Folder that gets a folder per run."),
  model: modelSchema.describe("The network that is trained, and its initial weights."),
  data: dataSchema.describe("The images, and how they become batches."),
  train: trainSchema.describe("The settings of training. Names and defaults are PyTorch's."),
  validate: validateSchema.prefault({}).describe(
    "Validation beside the one at the end of each epoch, and metrics of your own.",
  ),
  checkpoint: checkpointPolicySchema.prefault({}).describe(
    "The checkpoints of a run that are kept beside the newest one.",
  ),
  engine: engineSchema.prefault({}).describe("The execution of steps."),
  exchange: z.enum(EXCHANGE_CHOICES).default("auto").describe(
    "The exchange of gradients: between the workers of one Linux machine by `nccl` (a GPU for each " +
      "worker) or through `shared-memory`, or through the broker with `nats`; `auto` takes the first of " +
      "these that works here.",
  ),
  nccl: ncclSchema.prefault({}).describe("The exchange between GPUs by NCCL."),
  nats: natsSchema.prefault({}).describe("The message broker."),
  hosts: hostsSchema.prefault({}).describe("Other hosts that take part in the run."),
  liveness: livenessSchema.prefault({}).describe(
    "Time limits of processes that wait for each other.",
  ),
  onWorkerLost: z.enum(LOSS_POLICIES).default("restart").describe(
    "The way on when a worker dies or stands still: with `restart` another one takes its place, with " +
      "`shrink` the others go on without it, with `fail` the run ends. The others keep their state, and no step is lost.",
  ),
  maxRestarts: z.int().nonnegative().default(MAX_RESTARTS).describe(
    "Restarts within an hour after which another lost worker ends the run.",
  ),
  dashboard: z.union([z.boolean(), dashboardSchema], "give true, false or { port: …, host: … }")
    .default(false).describe(
      "Show the run in the browser while it goes on; `true` for the defaults.",
    ),
  loggers: loggersSchema.prefault({}).describe("Other places that keep the run's numbers."),
});

/** A config as it may be written: keys with a default may be left out. */
export type ConfigInput = z.input<typeof configSchema>;

/** A validated config with every default filled in; the number of workers may still follow from the machine. */
export type LoadedConfig = z.output<typeof configSchema>;

/** The schema of a config whose number of workers is decided. */
export const decidedConfigSchema = configSchema.required({ workers: true });

/** A config whose number of workers is decided. */
export type Config = z.output<typeof decidedConfigSchema>;

/** Decides the number of workers of a config that leaves it open. */
export function withWorkers(config: LoadedConfig, workers = 1): Config {
  return { ...config, workers: config.workers ?? workers };
}

/** Bytes of features that each worker keeps; 0 keeps none. */
export function featureCacheBytes({ train: { featureCache } }: Pick<Config, "train">): number {
  if (typeof featureCache === "boolean") return featureCache ? DEFAULT_FEATURE_BYTES : 0;
  return featureCache.maxBytes;
}
