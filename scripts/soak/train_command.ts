/**
 * The command line of a training as its task starts it, with the task's permissions.
 *
 * @module
 */
import { join } from "node:path";
import { PROJECT_ROOT } from "../files.ts";

/** Program and arguments, up to the flags of `train`. */
export const TRAIN_COMMAND: readonly string[] = [
  Deno.execPath(),
  ...["run", "-q", "-P=train", "--config", join(PROJECT_ROOT, "deno.json")],
  ...[join(PROJECT_ROOT, "src/cli.ts"), "train"],
];
