/**
 * `deno task setup`: fetches what training needs.
 *
 * @module
 */
import { nearestName, UsageError } from "../base/errors.ts";
import type { Progress } from "../provision/progress.ts";
import { say } from "../terminal/terminal_stream.ts";
import { type CommandHelp, HELP_FLAG, helpText, parseFlags } from "./flags.ts";

const PARTS = ["libtensorflow", "nats-server", "food-groups", "efficientnet_lite0"] as const;

type Part = (typeof PARTS)[number];

/** Flags of `setup`. */
export const SETUP_HELP: CommandHelp = {
  name: "setup",
  summary:
    "Fetch libtensorflow, nats-server, the photos and the weights of the default recipe, where they are missing.",
  positional: "[libtensorflow | nats-server | food-groups | efficientnet_lite0] ...",
  flags: [HELP_FLAG],
  examples: ["deno task setup", "deno task setup libtensorflow nats-server"],
};

/** Runs `setup` and returns the exit code. */
export async function runSetup(args: string[]): Promise<number> {
  const flags = parseFlags(SETUP_HELP, args);
  if (flags.on("help")) {
    console.log(helpText(SETUP_HELP));
    return 0;
  }
  const parts = flags.positional.length > 0 ? flags.positional.map(partNamed) : PARTS;
  const { terminalReporter } = await import("../terminal/terminal_reporter.ts");
  const reporter = terminalReporter({ verbose: false });
  const paths: string[] = [];
  try {
    for (const part of parts) {
      const path = await ensure(part, (event) => reporter.download(event));
      paths.push(`${part.padEnd(Math.max(...PARTS.map(({ length }) => length)))}  ${path}`);
    }
  } finally {
    reporter.close();
  }
  for (const path of paths) say(path);
  return 0;
}

function partNamed(name: string): Part {
  const part = PARTS.find((known) => known === name);
  if (part) return part;
  const nearest = nearestName(name, PARTS);
  throw new UsageError(
    `Unknown part "${name}"${
      nearest ? `: did you mean ${nearest}?` : `: known are ${PARTS.join(", ")}`
    }`,
  );
}

async function ensure(part: Part, progress: Progress): Promise<string> {
  switch (part) {
    case "libtensorflow":
      return await (await import("../provision/libtensorflow.ts")).ensureLibtensorflow(progress);
    case "nats-server":
      return await (await import("../provision/nats_server.ts")).ensureNatsServer(progress);
    case "food-groups":
      return await (await import("../provision/datasets.ts")).ensureDataset(part, progress);
    case "efficientnet_lite0":
      return await (await import("../models/pretrained_weights.ts"))
        .ensurePretrainedWeights(part, progress);
  }
}
