/**
 * The config keys of the optimizer and of the learning-rate schedule.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { float32, shareBelow1 } from "../base/float32.ts";

/** Optimizers that `train.optimizer` accepts. */
export const OPTIMIZER_NAMES = ["sgd", "adam", "adamw"] as const;

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

/** Name of an optimizer. */
export type OptimizerName = (typeof OPTIMIZER_NAMES)[number];

const common = {
  /** The unit of the schedule's numbers: epochs or optimizer steps. */
  per: z.enum(["epoch", "step"]).default("epoch"),
  /** A linear rise to the learning rate before the schedule begins, as `torch.optim.lr_scheduler.LinearLR`. */
  warmup: z.strictObject({
    /** Epochs or steps, as `per` says. */
    length: z.int().positive(),
    /** Share of the learning rate at the start. */
    startFactor: float32().gt(0, "give a share above 0").max(1, "give a share up to 1").default(
      1 / 3,
    ),
  }).optional(),
};

/** `train.schedule`: how the learning rate changes; names, keys and defaults are those of `torch.optim.lr_scheduler`. */
export const scheduleSchema = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("constant"), ...common }),
  z.strictObject({
    name: z.literal("StepLR"),
    ...common,
    /** Epochs or steps between two decays. */
    stepSize: z.int().positive(),
    /** Factor of one decay. */
    gamma: float32().positive().default(0.1),
  }),
  z.strictObject({
    name: z.literal("MultiStepLR"),
    ...common,
    /** Epochs or steps after which the rate decays. */
    milestones: z.array(z.int().positive()).min(1, "give at least one milestone").refine(
      (all) => all.every((milestone, index) => index === 0 || milestone > all[index - 1]),
      "give milestones in rising order",
    ),
    gamma: float32().positive().default(0.1),
  }),
  z.strictObject({
    name: z.literal("ExponentialLR"),
    ...common,
    /** Factor of each epoch or step. */
    gamma: float32().positive(),
  }),
  z.strictObject({
    name: z.literal("CosineAnnealingLR"),
    ...common,
    /** Epochs or steps from the full rate to `etaMin`; unless set, all that follow the warm-up. */
    tMax: z.int().positive().optional(),
    etaMin: float32().nonnegative().default(0),
  }),
]);

/** `train.groups`: parameters with settings of their own. */
const groupSchema = z.strictObject({
  /** Patterns of parameter names, such as `fc.*`; a parameter belongs to the first group that fits. */
  match: z.array(z.string().min(1)).min(1, "give at least one pattern, such as fc.*"),
  lr: float32().nonnegative().optional(),
  weightDecay: float32().nonnegative().optional(),
});

/** Keys of the optimizer, as `train.*`; names are those of `torch.optim`, in camelCase. */
export const optimizerShape = {
  optimizer: z.enum(OPTIMIZER_NAMES).default("sgd"),
  /** Learning rate before the schedule. */
  lr: float32().nonnegative().default(0.001),
  /** SGD's; 0.9 unless set. */
  momentum: float32().min(0).max(1).nullish(),
  /** SGD's; 0 unless set. */
  dampening: float32().min(0).max(1).nullish(),
  /** SGD's; false unless set. */
  nesterov: z.boolean().nullish(),
  /** Adam's and AdamW's decay of the two averages; [0.9, 0.999] unless set. */
  betas: z.tuple([shareBelow1(), shareBelow1()]).nullish(),
  /** Adam's and AdamW's, added to the denominator; 1e-8 unless set. */
  eps: float32().positive().nullish(),
  /** SGD and Adam: L2 penalty, added to the gradient (0 unless set); AdamW: decoupled (0.01 unless set). */
  weightDecay: float32().nonnegative().nullish(),
  groups: z.array(groupSchema).default([]),
  schedule: scheduleSchema.default({ name: "constant", per: "epoch" }),
  /** Scales the gradient down to this 2-norm over all parameters, as `clip_grad_norm_`. */
  clipGradNorm: float32().positive().optional(),
  /** Limits each element of the gradient to ± this, as `clip_grad_value_`. */
  clipGradValue: float32().positive().optional(),
  /** Parts in which each worker computes its share of a batch, one after the other: less memory, the same step. */
  accumulationSteps: z.int().positive().default(1),
  /** Exponential moving average of the weights; if set, the averages are validated and kept as best. */
  ema: z.strictObject({
    /**
     * The rule for when the averages are updated, and by how much. `steps` counts the optimizer's steps
     * through the run; `torchvision` is the rule of torchvision's reference training: each epoch counts anew,
     * the weights are copied during warm-up, and the decay is scaled by batch size, `everySteps` and epochs.
     */
    rule: z.enum(EMA_RULES).default("steps"),
    /** Share of the averages that stays at each update: 0.999 unless set, 0.99998 for `torchvision`. */
    decay: z.number().gt(0).lt(1).optional(),
    /** Steps between two updates: 1 unless set, 32 for `torchvision`. */
    everySteps: z.int().positive().optional(),
  }).transform((ema) => ({ ...ema, ...emaDefaults(ema) })).optional(),
};

/** Keys that belong to some optimizers only, with their defaults. */
const OWN_DEFAULTS = {
  sgd: { momentum: 0.9, dampening: 0, nesterov: false, weightDecay: 0 },
  adam: { betas: [0.9, 0.999] as [number, number], eps: 1e-8, weightDecay: 0 },
  adamw: { betas: [0.9, 0.999] as [number, number], eps: 1e-8, weightDecay: 0.01 },
} satisfies Record<OptimizerName, Record<string, unknown>>;

const OWN_KEYS = ["momentum", "dampening", "nesterov", "betas", "eps", "weightDecay"] as const;

type OwnKeys =
  & { readonly optimizer: OptimizerName }
  & {
    readonly [Key in (typeof OWN_KEYS)[number]]?: unknown;
  };

/** The keys that are set but belong to other optimizers. */
export function foreignKeys(train: OwnKeys): string[] {
  return otherKeys(train.optimizer).filter((key) =>
    train[key] !== undefined && train[key] !== null
  );
}

/** The keys that other optimizers have, and this one hasn't. */
export function otherKeys(optimizer: OptimizerName): (typeof OWN_KEYS)[number][] {
  return OWN_KEYS.filter((key) => !(key in OWN_DEFAULTS[optimizer]));
}

/** The keys that an optimizer has of its own. */
export function ownKeys(optimizer: OptimizerName): string[] {
  return Object.keys(OWN_DEFAULTS[optimizer]);
}

/** All keys that belong to an optimizer. */
export function optimizerKeys(): readonly string[] {
  return OWN_KEYS;
}

/** An optimizer with all its settings. */
export type OptimizerConfig =
  | ({ readonly optimizer: "sgd" } & (typeof OWN_DEFAULTS)["sgd"])
  | ({ readonly optimizer: "adam" | "adamw" } & (typeof OWN_DEFAULTS)["adam"]);

/** Fills in the defaults of keys that are not set. */
export function optimizerConfig(train: OwnKeys): OptimizerConfig {
  const defaults: Record<string, unknown> = OWN_DEFAULTS[train.optimizer];
  const settings = Object.entries(defaults).map(([key, value]) => [
    key,
    train[key as keyof OwnKeys] ?? value,
  ]);
  return { optimizer: train.optimizer, ...Object.fromEntries(settings) } as OptimizerConfig;
}

/** A learning-rate schedule as configured. */
export type ScheduleConfig = z.output<typeof scheduleSchema>;

/** A group of parameters as configured. */
export type GroupConfig = z.output<typeof groupSchema>;

/** An average of the weights as configured. */
export type EmaConfig = NonNullable<z.output<(typeof optimizerShape)["ema"]>>;
