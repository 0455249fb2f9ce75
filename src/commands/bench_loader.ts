/**
 * `deno task bench loader`: measures the data loader on this machine.
 *
 * @module
 */
import { resolve } from "node:path";
import type { LoaderBenchResult } from "../bench/loader_bench.ts";
import type { Column } from "../terminal/table.ts";
import { UsageError } from "../base/errors.ts";
import { visibleJson } from "../base/visible_text.ts";
import { exists } from "../base/paths.ts";
import { removeAtStop } from "../base/signals.ts";
import { parseCounts } from "../bench/sizes.ts";
import { coresOfHost } from "../engine/threads.ts";
import { ALSO_BATCH, numberFlag, printTable } from "./bench_flags.ts";
import type { Command } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";

/** `deno task bench loader`. */
export const COMMAND: Command = {
  name: "bench loader",
  isBenchmark: true,
  summary: "Measure the data loader alone: images on the disk to batches of floats.",
  flags: [
    { name: "data", value: "DIR", help: "Folder of images (default: made of food-groups)" },
    {
      name: "make",
      value: "DIR",
      help: "Write the made images to a new or empty folder, to use again",
    },
    { name: "pictures", value: "N", help: "How many to make (default: 256)" },
    { name: "image-size", value: "PIXELS", help: "Side of the crops (default: 224)" },
    { name: "batch", also: ALSO_BATCH, value: "N", help: "Images per batch (default: 64)" },
    { name: "epochs", value: "N", help: "Times that all are loaded and timed (default: 5)" },
    {
      name: "threads",
      value: "N[,N…]",
      help: "Loader threads, such as 1,2,16 (default: one per core)",
    },
    {
      name: "simulate-cost",
      value: "MS",
      help: "Let threads sleep so long for each image, and do nothing else",
    },
    { name: "keep", help: "Keep decoded images in memory, and time the later epochs" },
    {
      name: "cache-dir",
      value: "DIR",
      help: "Keep decoded images in this folder, and time the later epochs",
    },
    { name: "json", help: "Print one line of JSON" },
    HELP_FLAG,
  ],
  examples: [
    "deno task bench loader",
    "deno task bench loader --data photos/train --threads 1,2",
    "deno task bench loader --threads 1,16 --simulate-cost 10",
  ],
  run,
};

async function run(flags: Flags): Promise<number> {
  const { data, make } = { data: flags.text("data"), make: flags.text("make") };
  if (data && make) {
    throw new UsageError("--data and --make exclude each other: images are there, or are made");
  }
  const cacheDir = flags.text("cache-dir");
  const options = {
    imageSize: flags.integer("image-size", 1) ?? 224,
    batch: flags.integer("batch", 1) ?? 64,
    epochs: flags.integer("epochs", 1) ?? 5,
    threads: parseCounts("threads", flags.text("threads") ?? String(coresOfHost())),
    keep: flags.on("keep"),
    cacheDir: cacheDir === undefined ? undefined : resolve(cacheDir),
  };
  const simulatedCost = numberFlag(flags, "simulate-cost");
  const images = flags.integer("pictures", 1) ?? 256;
  const { benchLoader, simulateLoader } = await import("../bench/loader_bench.ts");
  if (simulatedCost !== undefined) {
    const other = ["data", "make", "keep", "cache-dir"].find((name) => flags.given(name));
    if (other) {
      throw new UsageError(`--simulate-cost and --${other} exclude each other: it reads no images`);
    }
    const count = flags.integer("pictures", 1) ?? 128 * Math.max(...options.threads);
    const result = await simulateLoader({ ...options, images: count, simulatedCost });
    if (flags.on("json")) console.log(visibleJson({ ...options, simulatedCost, ...result }));
    else await print(result, simulatedCost);
    return 0;
  }
  const measure = async (folder: string) => {
    const result = await benchLoader({ ...options, data: resolve(folder) });
    if (flags.on("json")) console.log(visibleJson({ ...options, ...result }));
    else await print(result, undefined);
  };
  if (data) {
    if (!await exists(data)) throw new UsageError(`--data: there is no folder "${data}"`);
    await measure(data);
  } else if (make) {
    await Deno.mkdir(make, { recursive: true });
    if ((await Array.fromAsync(Deno.readDir(make))).length > 0) {
      throw new UsageError(
        `--make: "${make}" isn't empty: name a new folder, or use it with --data`,
      );
    }
    await makeImages(make, images);
    await measure(make);
  } else {
    const folder = Deno.makeTempDirSync({ prefix: "lockstep-bench-" });
    using _folder = removeAtStop(folder);
    try {
      await makeImages(folder, images);
      await measure(folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
  return 0;
}

async function makeImages(folder: string, count: number): Promise<void> {
  const { openEngineOnCpu } = await import("../engine/engine.ts");
  const { ensureDataset } = await import("../provision/datasets.ts");
  const { makeBenchImages } = await import("../bench/bench_images.ts");
  const photos = await ensureDataset("food-groups", ({ what, note }) => {
    if (note) console.error(`${what}: ${note}`);
  });
  await openEngineOnCpu({ threads: { intraOp: 1, interOp: 1 } });
  await makeBenchImages(photos, folder, count);
}

const COLUMNS: readonly Column[] = [
  { title: "threads", align: "right" },
  { title: "images/s", align: "right" },
  { title: "slowest to fastest" },
  { title: "scaling" },
  { title: "per thread" },
  { title: "per core" },
  { title: "main thread" },
];

async function print(result: LoaderBenchResult, simulated: number | undefined): Promise<void> {
  const { images, kilobytes, speeds, stages } = result;
  const [first] = speeds;
  // A thread's own speed: by the simulated cost, or as the first number of threads has it.
  const ideal = simulated === undefined
    ? first!.imagesPerSecond / first!.threads
    : 1000 / simulated;
  console.log(
    simulated === undefined
      ? `${images} images of ${kilobytes!.toFixed(0)} kB`
      : `${images} images, each ${simulated} ms of sleep`,
  );
  await printTable(
    COLUMNS,
    speeds.map((speed) => [
      String(speed.threads),
      speed.imagesPerSecond.toFixed(0),
      speed.range.map((end) => end.toFixed(0)).join(" to "),
      `${speed.scaling.toFixed(2)} ×`,
      `${(100 * speed.imagesPerSecond / speed.threads / ideal).toFixed(1)}%`,
      simulated === undefined ? `${speed.imagesPerCoreSecond.toFixed(0)} images/s` : "–",
      speed.mainMicroseconds === null ? "–" : `${speed.mainMicroseconds.toFixed(1)} µs/image`,
    ]),
  );
  if (!stages) return;
  const parts = Object.entries(stages).map(([name, ms]) => `${name} ${ms.toFixed(2)}`);
  console.log(
    `milliseconds per image, one at a time: ${parts.join(", ")} ` +
      "(finish: flip and Normalize, which are part of the step and not of images/s)",
  );
}
