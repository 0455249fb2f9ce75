/**
 * The config keys of the optimizer and of the learning-rate schedule.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { float32 } from "../base/float32.ts";
import * as optimizers from "./optimizers.ts";
import * as schedules from "./schedules.ts";

/** Name of an optimizer. */
export type OptimizerName = keyof typeof optimizers;

/** Optimizers that `train.optimizer` accepts. */
export const OPTIMIZER_NAMES = Object.keys(optimizers) as OptimizerName[];

/** Rules that `train.ema.rule` accepts. */
export const EMA_RULES = ["steps", "torchvision"] as const;

/** Averages' own defaults depend on the rule: those of `torchvision` are the reference's `--model-ema-*` flags. */
function emaDefaults(
  { rule, decay, everySteps }: {
    rule: (typeof EMA_RULES)[number];
    decay?: number | undefined;
    everySteps?: number | undefined;
  },
): { decay: number; everySteps: number } {
  const isReference = rule === "torchvision";
  return {
    decay: decay ?? (isReference ? 0.99998 : 0.999),
    everySteps: everySteps ?? (isReference ? 32 : 1),
  };
}

const common = {
  per: z.enum(["epoch", "step"]).default("epoch").describe(
    "The unit of the schedule's numbers: epochs or optimizer steps.",
  ),
  warmup: z.strictObject({
    length: z.int().positive().describe("Epochs or steps, as `per` says."),
    startFactor: float32().gt(0, "give a share above 0").max(1, "give a share up to 1").default(
      1 / 3,
    ).describe("Share of the learning rate at the start."),
  }).optional().describe(
    "A linear rise to the learning rate before the schedule begins, as " +
      "`torch.optim.lr_scheduler.LinearLR`.",
  ),
};

/** Name of a schedule. */
export type ScheduleName = keyof typeof schedules;

/** The schema of a schedule, by its name. */
type ScheduleSchema<Name extends ScheduleName> = (typeof schedules)[Name]["keys"] extends
  infer Keys extends z.ZodRawShape
  ? z.ZodObject<{ name: z.ZodLiteral<Name> } & typeof common & Keys, z.core.$strict>
  : never;

/** A learning-rate schedule as configured. */
export type ScheduleConfig = {
  [Name in ScheduleName]: z.output<ScheduleSchema<Name>>;
}[ScheduleName];

/** A learning-rate schedule as a config may write it. */
export type ScheduleInput = {
  [Name in ScheduleName]: z.input<ScheduleSchema<Name>>;
}[ScheduleName];

const [firstSchedule, ...moreSchedules] = Object.entries(schedules).map(([name, { keys }]) =>
  z.strictObject({
    name: z.literal(name).describe("Name of the schedule, as in `torch.optim.lr_scheduler`."),
    ...common,
    ...keys,
  })
);

/** `train.schedule`: how the learning rate changes; names, keys and defaults are those of `torch.optim.lr_scheduler`. */
export const scheduleSchema = z.discriminatedUnion("name", [
  firstSchedule,
  ...moreSchedules,
]) as unknown as z.ZodType<ScheduleConfig, ScheduleInput>;

/** `train.groups`: parameters with settings of their own. */
const groupSchema = z.strictObject({
  match: z.array(z.string().min(1)).min(1, "give at least one pattern, such as fc.*").describe(
    "Patterns of parameter names, such as `fc.*`; a parameter belongs to the first group that fits.",
  ),
  lr: float32().nonnegative().optional().describe(
    "Learning rate of the group before the schedule.",
  ),
  weightDecay: float32().nonnegative().optional().describe("Weight decay of the group."),
});

/** The keys of all optimizers together. */
type OwnShape = UnionToIntersection<(typeof optimizers)[OptimizerName]["keys"]>;

type UnionToIntersection<Union> = (Union extends unknown ? (member: Union) => void : never) extends
  (all: infer All) => void ? All
  : never;

/** The keys that some optimizers have: each may be left out, or `null`. */
const ownShape = Object.fromEntries(
  Object.values(optimizers).flatMap(({ keys }) =>
    Object.entries(keys).map(([key, schema]) => [key, schema.nullish()])
  ),
) as { [Key in keyof OwnShape]: z.ZodOptional<z.ZodNullable<OwnShape[Key]>> };

/** Keys of the optimizer, as `train.*`; names are those of `torch.optim`, in camelCase. */
export const optimizerShape = {
  optimizer: z.enum(OPTIMIZER_NAMES).default("sgd").describe("The optimizer, as in `torch.optim`."),
  lr: float32().nonnegative().default(0.001).describe("Learning rate before the schedule."),
  ...ownShape,
  weightDecay: float32().nonnegative().nullish().describe(
    "SGD and Adam: L2 penalty, added to the gradient (0 unless set); AdamW: decoupled (0.01 " +
      "unless set).",
  ),
  groups: z.array(groupSchema).default([]).describe(
    "Groups of parameters with settings of their own.",
  ),
  schedule: scheduleSchema.default({ name: "constant", per: "epoch" }).describe(
    "The course of the learning rate.",
  ),
  clipGradNorm: float32().positive().optional().describe(
    "Scales the gradient down to this 2-norm over all parameters, as `clip_grad_norm_`.",
  ),
  clipGradValue: float32().positive().optional().describe(
    "Limits each element of the gradient to ± this, as `clip_grad_value_`.",
  ),
  accumulationSteps: z.int().positive().default(1).describe(
    "Micro-batches in which each worker computes its share of a batch, one after the other: less " +
      "memory, the same step. The alternative to `microBatchSize`.",
  ),
  syncBatchNorm: z.boolean().default(false).describe(
    "Let BatchNorm normalize by the rows of all workers, as PyTorch's SyncBatchNorm, instead of " +
      "by each worker's own.",
  ),
  ema: z.strictObject({
    rule: z.enum(EMA_RULES).default("steps").describe(
      "The rule for when the averages are updated, and by how much. `steps` counts the " +
        "optimizer's steps through the run; `torchvision` is the rule of torchvision's reference " +
        "training: each epoch counts anew, the weights are copied during warm-up, and the decay " +
        "is scaled by batch size, `everySteps` and epochs.",
    ),
    decay: z.number().gt(0).lt(1).optional().describe(
      "Share of the averages that stays at each update: 0.999 unless set, 0.99998 for `torchvision`.",
    ),
    everySteps: z.int().positive().optional().describe(
      "Steps between two updates: 1 unless set, 32 for `torchvision`.",
    ),
  }).transform((ema) => ({ ...ema, ...emaDefaults(ema) })).optional().describe(
    "Exponential moving average of the weights; if set, the averages are validated and kept as best.",
  ),
};

/** Name of a key that belongs to some optimizers, or that each has its own default of. */
type OwnKey = keyof typeof ownShape | "weightDecay";

const OWN_KEYS = [...Object.keys(ownShape), "weightDecay"] as OwnKey[];

type OwnKeys = { readonly optimizer: OptimizerName } & { readonly [Key in OwnKey]?: unknown };

/** The keys that are set but belong to other optimizers. */
export function foreignKeys(train: OwnKeys): string[] {
  return otherKeys(train.optimizer).filter((key) =>
    train[key] !== undefined && train[key] !== null
  );
}

/** The keys that other optimizers have, and this one hasn't. */
export function otherKeys(optimizer: OptimizerName): OwnKey[] {
  const own = ownKeys(optimizer);
  return OWN_KEYS.filter((key) => !own.includes(key));
}

/** The keys that an optimizer has of its own. */
export function ownKeys(optimizer: OptimizerName): string[] {
  return Object.keys(ownDefaults(optimizer));
}

/** All keys that belong to an optimizer. */
export function optimizerKeys(): readonly string[] {
  return OWN_KEYS;
}

/** An optimizer with all its settings. */
export type OptimizerConfig = {
  [Name in OptimizerName]:
    & { readonly optimizer: Name; readonly weightDecay: number }
    & (typeof optimizers)[Name]["defaults"];
}[OptimizerName];

/** Fills in the defaults of keys that are not set. */
export function optimizerConfig(train: OwnKeys): OptimizerConfig {
  const settings = Object.entries(ownDefaults(train.optimizer)).map(([key, value]) => [
    key,
    train[key as OwnKey] ?? value,
  ]);
  return { optimizer: train.optimizer, ...Object.fromEntries(settings) } as OptimizerConfig;
}

function ownDefaults(optimizer: OptimizerName): Record<string, unknown> {
  const { defaults, weightDecay } = optimizers[optimizer];
  return { ...defaults, weightDecay };
}

/** A group of parameters as configured. */
export type GroupConfig = z.output<typeof groupSchema>;

/** An average of the weights as configured. */
export type EmaConfig = NonNullable<z.output<(typeof optimizerShape)["ema"]>>;
