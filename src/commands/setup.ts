/**
 * `deno task setup`: fetches what training needs.
 *
 * @module
 */
import { nearestName, UsageError } from "../base/errors.ts";
import type { LibtensorflowBuild } from "../base/libtensorflow_path.ts";
import { DEVICES } from "../engine/devices.ts";
import type { Progress } from "../provision/progress.ts";
import { say } from "../terminal/terminal_stream.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";

const PARTS = ["libtensorflow", "nats-server", "food-groups", "efficientnet_lite0"] as const;

type Part = (typeof PARTS)[number];

/** `deno task setup`. */
export const COMMAND: TaskCommand = {
  name: "setup",
  title: "Fetch what training needs: libtensorflow, nats-server, photos, weights",
  summary:
    "Fetch libtensorflow, nats-server, the photos and the weights of the default recipe, where they are missing.",
  positional: "[libtensorflow | nats-server | food-groups | efficientnet_lite0] ...",
  permissions: "setup",
  flags: [
    {
      name: "device",
      value: "NAME",
      help:
        "Build of libtensorflow: auto (the default: for GPUs where there is NVIDIA's driver), gpu (also without one), or cpu",
    },
    {
      name: "cuda",
      value: "RELEASE",
      help:
        "CUDA's libraries: 12.5 for GPUs up to Hopper, 12.9 for Blackwell (default: by the GPUs that are here, else 12.5)",
    },
    HELP_FLAG,
  ],
  examples: [
    "deno task setup",
    "deno task setup libtensorflow nats-server",
    "deno task setup --device gpu --cuda 12.9",
  ],
  run,
};

async function run(flags: Flags): Promise<number> {
  const build = await buildOf(flags.text("device"), flags.text("cuda"));
  const parts = flags.positional.length > 0 ? flags.positional.map(partNamed) : PARTS;
  const { terminalReporter } = await import("../terminal/terminal_reporter.ts");
  const reporter = terminalReporter({ verbose: false });
  const paths: string[] = [];
  try {
    for (const part of parts) {
      const path = await ensure(part, build, (event) => reporter.download(event));
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

const CUDA_RELEASES = ["12.5", "12.9"] as const;

/** Returns the build of libtensorflow that is wanted. */
async function buildOf(
  device = "auto",
  release: string | undefined,
): Promise<LibtensorflowBuild> {
  if (!DEVICES.some((name) => name === device)) {
    throw new UsageError(`--device is "${device}": give one of ${DEVICES.join(", ")}`);
  }
  const cuda = CUDA_RELEASES.find((known) => known === release);
  if (release !== undefined && !cuda) {
    throw new UsageError(`--cuda is "${release}": give one of ${CUDA_RELEASES.join(", ")}`);
  }
  if (device === "cpu") {
    if (cuda) throw new UsageError(`--cuda is ${cuda}, but --device is cpu: leave out one of them`);
    return "cpu";
  }
  if (cuda) return `cuda-${cuda}`;
  const { buildFor, hasDriver } = await import("../gpus/driver.ts");
  const { listGpus } = await import("../gpus/gpu.ts");
  const isThere = hasDriver();
  if (device === "auto" && !isThere) return "cpu";
  return buildFor(isThere ? (await listGpus()).gpus : []);
}

async function ensure(
  part: Part,
  build: LibtensorflowBuild,
  progress: Progress,
): Promise<string> {
  switch (part) {
    case "libtensorflow":
      return await (await import("../provision/libtensorflow.ts")).ensureLibtensorflow(
        progress,
        build,
      );
    case "nats-server":
      return await (await import("../provision/nats_server.ts")).ensureNatsServer(progress);
    case "food-groups":
      return await (await import("../provision/datasets.ts")).ensureDataset(part, progress);
    case "efficientnet_lite0":
      return await (await import("../models/pretrained_weights.ts"))
        .ensurePretrainedWeights(part, progress);
  }
}
