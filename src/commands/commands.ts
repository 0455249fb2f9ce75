/**
 * The list of commands, in the order in which the help shows them.
 *
 * @module
 */
import type { TaskCommand } from "./command.ts";

/** Modules of the commands by name; each is imported when it runs. */
export const COMMANDS = {
  train: () => import("./train.ts"),
  worker: () => import("./worker.ts"),
  compare: () => import("./compare.ts"),
  "show-batch": () => import("./show_batch.ts"),
  report: () => import("./report.ts"),
  setup: () => import("./setup.ts"),
  data: () => import("./data.ts"),
  ps: () => import("./ps.ts"),
  stop: () => import("./stop.ts"),
  dashboard: () => import("./dashboard.ts"),
  doctor: () => import("./doctor.ts"),
  evaluate: () => import("./evaluate.ts"),
  predict: () => import("./predict.ts"),
  models: () => import("./models.ts"),
  export: () => import("./export.ts"),
  bench: () => import("./bench.ts"),
} satisfies Readonly<Record<string, () => Promise<{ readonly COMMAND: TaskCommand }>>>;
