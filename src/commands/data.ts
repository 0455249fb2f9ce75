/**
 * `deno task data`: shows the data sets that Lockstep knows by name, fetches them, and checks any.
 *
 * @module
 */
import { nearestName, UsageError } from "../base/errors.ts";
import { DATASET_NAMES, type DatasetName, DATASETS } from "../provision/dataset_catalogue.ts";
import { say } from "../terminal/terminal_stream.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";

/** `deno task data`. */
export const COMMAND: TaskCommand = {
  name: "data",
  title: "Show the data sets that are known by name, fetch some of them, or check one",
  summary:
    "Show the data sets that data.dataset can name, or fetch some of them; or check one (data check --help).",
  positional: `[check DIR | ${DATASET_NAMES.join(" | ")}] ...`,
  permissions: "setup",
  flags: [HELP_FLAG],
  examples: [
    "deno task data",
    "deno task data hymenoptera cifar10",
    "deno task data check photos",
    "deno task data check --help",
  ],
  run,
  parts: { check: () => import("./data_check.ts") },
};

async function run(flags: Flags): Promise<number> {
  const names = flags.positional.map(datasetNamed);
  if (names.length === 0) console.log(await table());
  else await fetchAll(names);
  return 0;
}

function datasetNamed(name: string): DatasetName {
  const dataset = DATASET_NAMES.find((known) => known === name);
  if (dataset) return dataset;
  const nearest = nearestName(name, DATASET_NAMES);
  throw new UsageError(
    `Unknown data set "${name}"${
      nearest ? `: did you mean ${nearest}?` : `: known are ${DATASET_NAMES.join(", ")}`
    }`,
  );
}

async function fetchAll(names: readonly DatasetName[]): Promise<void> {
  const { ensureDataset } = await import("../provision/datasets.ts");
  const { terminalReporter } = await import("../terminal/terminal_reporter.ts");
  const reporter = terminalReporter({ verbose: false });
  const width = Math.max(...names.map(({ length }) => length));
  const paths: string[] = [];
  try {
    for (const name of new Set(names)) {
      const path = await ensureDataset(name, (event) => reporter.download(event));
      paths.push(`${name.padEnd(width)}  ${path}`);
    }
  } finally {
    reporter.close();
  }
  for (const path of paths) say(path);
}

/** The data sets, a row each; then what doesn't fit into a row. */
async function table(): Promise<string> {
  const { formatBytes, groupThousands } = await import("../base/format.ts");
  const rows = [["name", "state", "download", "train + val", "classes"]];
  const details: string[] = [];
  for (const name of DATASET_NAMES) {
    const { bytes, train, val, classes, licence, source } = DATASETS[name];
    const [state, path] = await stateOf(name);
    const images = `${groupThousands(train)} + ${groupThousands(val)}`;
    rows.push([name, state, formatBytes(bytes), images, String(classes.length)]);
    details.push("", name, `  from   ${source}`, `  terms  ${licence}`);
    if (path) details.push(`  here   ${path}`);
  }
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd()
  );
  return [...lines, ...details].join("\n");
}

/** Returns the state of a data set in the cache, in a word or two, and its path. */
async function stateOf(name: DatasetName): Promise<[state: string, path?: string]> {
  const { datasetState } = await import("../provision/datasets.ts");
  const state = await datasetState(name);
  switch (state.kind) {
    case "ready":
      return ["ready", state.path];
    case "archive":
      return ["to be unpacked", state.path];
    case "part": {
      const share = Math.floor(100 * state.bytes / DATASETS[name].bytes);
      return [`${Math.min(share, 99)}% fetched`];
    }
    case "missing":
      return ["not fetched"];
  }
}
