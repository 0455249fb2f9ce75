/**
 * `deno task data check`: what is wrong with a data set.
 *
 * @module
 */
import { basename, join, resolve } from "node:path";
import { orAborted } from "../base/async.ts";
import { EXIT_FAILED, UsageError } from "../base/errors.ts";
import { DATASET_NAMES, type DatasetName, DATASETS } from "../provision/dataset_catalogue.ts";
import type { Progress } from "../provision/progress.ts";
import type { Command } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";
import { interruptible } from "./interruptible.ts";

/** Folder that gets a folder per check, unless `--out` names one. */
const OUT = "data-check";

/** `deno task data check`. */
export const COMMAND: Command = {
  name: "data check",
  summary:
    "Check a data set before training on it: files that can't be read or decoded, wrong endings, exact and near\n" +
    "duplicates (also between train and val), odd sizes, balance of the classes. Ends with exit code 1 when there\n" +
    "are errors.",
  positional: `DIR | ARCHIVE | ${DATASET_NAMES.join(" | ")}`,
  flags: [
    { name: "data", value: "DIR", help: "The same as DIR without a flag" },
    {
      name: "train-folder",
      value: "NAME",
      help: "Folder of the training images in DIR (default: train)",
    },
    {
      name: "val-folder",
      value: "NAME",
      help: "Folder of the validation images in DIR (default: val)",
    },
    {
      name: "near-distance",
      value: "N",
      help: "Bits of 64 in which the hashes of near-duplicates may differ, 0 to 16 (default: 6)",
    },
    {
      name: "max-pixels",
      value: "N",
      help: "Larger images are errors, as with data.maxPixels (default: 100000000)",
    },
    { name: "out", value: "DIR", help: `Folder for the files (default: ${OUT}/<name of DIR>)` },
    { name: "json", help: "Print report.json instead of tables" },
    HELP_FLAG,
  ],
  examples: [
    "deno task data check photos",
    "deno task data check photos --val-folder test --near-distance 10",
    "deno task data check food-groups --json",
  ],
  run,
};

/** Runs `data check` and returns the exit code: 1 when there are errors. */
async function run(flags: Flags): Promise<number> {
  const data = dataNamed(flags);
  const options = await optionsOf(flags);
  const { checkData } = await import("../data_check/check_data.ts");
  const { CheckProgress } = await import("../terminal/check_progress.ts");
  const { terminalReporter } = await import("../terminal/terminal_reporter.ts");
  const { standardStream } = await import("../terminal/terminal_stream.ts");
  const json = flags.on("json");
  const out = standardStream("stdout", "result");
  const stream = standardStream(json ? "stderr" : "stdout");
  const reporter = terminalReporter({ verbose: false, stream });
  const progress = new CheckProgress(stream);
  using signals = interruptible(() => reporter.warn("Stopping; again to stop at once"));
  try {
    const { signal } = signals;
    const place = await orAborted(
      placeOf(data, flags, (event) => reporter.download(event)),
      signal,
    );
    const check = await checkData({
      data,
      ...place,
      ...options,
      signal,
      onStart: (total) => progress.start(total),
      onProgress: (done) => progress.update(done),
    });
    progress.close();
    signal.throwIfAborted();
    const folder = flags.text("out") ?? join(OUT, nameOf(data));
    const record = await writeFiles(folder, check, signal);
    if (json) {
      const { dataCheckAsJson } = await import("../data_check/record.ts");
      out.write(dataCheckAsJson(record) + "\n");
    } else {
      const { dataCheckLines } = await import("../data_check/data_check_lines.ts");
      const lines = dataCheckLines(record, out, out.isTerminal ? out.columns : Infinity);
      out.write([...lines, "", `Report: ${folder}`].join("\n") + "\n");
    }
    return record.counts.error > 0 ? EXIT_FAILED : 0;
  } finally {
    progress.close();
    reporter.close();
  }
}

function dataNamed(flags: Flags): string {
  const named = flags.text("data");
  const [data, ...more] = [...(named === undefined ? [] : [named]), ...flags.positional];
  if (data === undefined) {
    throw new UsageError(
      "data check needs a folder, an archive or the name of a data set: deno task data check photos",
    );
  }
  if (more.length === 0) return data;
  throw new UsageError(
    `Unexpected argument "${more[0]}" of data check: check one data set at a time`,
  );
}

async function optionsOf(flags: Flags) {
  const { DEFAULT_NEAR_DISTANCE } = await import("../data_check/check_data.ts");
  const { MAX_DISTANCE } = await import("../data_check/near_duplicates.ts");
  const nearDistance = flags.integer("near-distance", 0) ?? DEFAULT_NEAR_DISTANCE;
  if (nearDistance > MAX_DISTANCE) {
    throw new UsageError(
      `--near-distance is ${nearDistance}: give at most ${MAX_DISTANCE}, since different images come as near`,
    );
  }
  const maxPixels = flags.integer("max-pixels", 1);
  return { nearDistance, ...(maxPixels === undefined ? {} : { maxPixels }) };
}

/** The folder of the images, fetched or unpacked where it isn't there, and the names of the folders in it. */
async function placeOf(data: string, flags: Flags, progress: Progress) {
  const { ensureDataRoot } = await import("../provision/data_root.ts");
  const dataset = DATASET_NAMES.find((name): name is DatasetName => name === data);
  const known = dataset ? DATASETS[dataset] : { trainFolder: "train", valFolder: "val" };
  const root = await ensureDataRoot(dataset ? { dataset } : { root: data }, progress);
  const folder = async (flag: string, usual: string) => {
    const name = flags.text(flag);
    if (name === undefined) return usual;
    const there = await Deno.stat(join(root, name)).then((info) => info.isDirectory, () => false);
    if (!there) throw new UsageError(`--${flag} is ${name}: there is no such folder in ${data}`);
    return name;
  };
  return {
    root,
    trainFolder: await folder("train-folder", known.trainFolder),
    valFolder: await folder("val-folder", known.valFolder),
  };
}

async function writeFiles(
  folder: string,
  { facts, pairs }: Awaited<
    ReturnType<typeof import("../data_check/check_data.ts").checkData>
  >,
  signal: AbortSignal,
) {
  const { LOCKSTEP_VERSION } = await import("../base/versions.ts");
  const { completeDataCheck } = await import("../data_check/record.ts");
  const { writeDataCheckFiles } = await import("../data_check/write_files.ts");
  const record = completeDataCheck(facts, LOCKSTEP_VERSION);
  await writeDataCheckFiles(folder, record, pairs, signal);
  return record;
}

/** Name of a check's folder: of the folder or archive, without what file names shouldn't have. */
function nameOf(data: string): string {
  const name = basename(resolve(data)).replace(/[^\p{L}\p{N}._-]+/gu, "_");
  return name === "" ? "root" : name;
}
