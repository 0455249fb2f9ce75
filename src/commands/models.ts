/**
 * `deno task models`: the architectures, what they cost, and where their weights are.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { escapeJson } from "../base/visible_text.ts";
import { MODEL_NAMES } from "../models/registry.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";
import { modelNamed } from "./model_named.ts";

/** `deno task models`. */
export const COMMAND: TaskCommand = {
  name: "models",
  title: "List the architectures: size, cost and pretrained weights",
  summary:
    "List the architectures: size, cost and pretrained weights; or all that is known of one.",
  positional: "[NAME]",
  permissions: "models",
  flags: [
    { name: "json", help: "Print JSON" },
    HELP_FLAG,
  ],
  examples: ["deno task models", "deno task models resnet50"],
  run,
};

async function run(flags: Flags): Promise<number> {
  const [name, ...more] = flags.positional;
  if (more.length > 0) {
    throw new UsageError(`Unexpected argument "${more[0]}" of models: name one architecture`);
  }
  const { modelDetails, modelEntry, modelTable } = await import("./model_listing.ts");
  const { standardStream } = await import("../terminal/terminal_stream.ts");
  const chosen = name === undefined ? MODEL_NAMES : [modelNamed(name)];
  const entries = await Promise.all(chosen.map(modelEntry));
  if (flags.on("json")) {
    console.log(escapeJson(JSON.stringify(name === undefined ? entries : entries[0], null, 2)));
    return 0;
  }
  const { isTerminal, columns } = standardStream("stdout");
  const width = isTerminal ? columns : Infinity;
  const lines = name === undefined
    ? modelTable(entries, width)
    : await modelDetails(entries[0], width);
  console.log(lines.join("\n"));
  return 0;
}
