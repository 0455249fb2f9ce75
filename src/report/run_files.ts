/**
 * Everything that a run folder tells, as far as it is there: older runs lack files, and killed ones too.
 *
 * @module
 */
import { basename, join, resolve } from "node:path";
import { parse } from "../deps/yaml.ts";
import { LockstepError } from "../base/errors.ts";
import { maskAddress, maskArguments, maskedJson, maskRunText } from "../base/secrets.ts";
import { openRegularFile, readRegularFile, readRegularText } from "../base/regular_file.ts";
import { EVENTS_FILE, type LoggedEvent, readEvents } from "../records/event_log.ts";
import { type History, HISTORY_FILE, readHistory } from "../records/history.ts";
import { LIVE_FILE, readLiveStatus } from "../records/live_status.ts";
import { METRICS_FILE, type MetricsPoint } from "../records/metrics_log.ts";
import { readThinMetrics } from "../records/thin_metrics.ts";
import { RUN_LOG_FILE } from "../records/run_log.ts";
import { type Prediction, readPredictions } from "../records/predictions.ts";
import {
  readReportPictures,
  REPORT_PICTURES_FILE,
  type ReportPictures,
} from "./report_pictures.ts";

/** A tree of plain values. */
export type Tree = Record<string, unknown>;

/** A file of the run. */
export interface RunFile {
  /** Relative to the run folder; a folder ends with `/`. */
  readonly path: string;
  readonly bytes?: number;
}

/** A run as its folder tells it. */
export interface RunFiles {
  /** As it was named. */
  readonly folder: string;
  /** The folder's own name. */
  readonly name: string;
  readonly config: Tree | undefined;
  readonly configText: string | undefined;
  readonly history: History | undefined;
  readonly events: readonly LoggedEvent[];
  /** True while the run goes on. */
  readonly lives: boolean;
  readonly metrics: readonly MetricsPoint[];
  readonly environment: Tree | undefined;
  /** The end of `run.log`. */
  readonly log: string | undefined;
  readonly predictions: readonly Prediction[] | undefined;
  readonly pictures: ReportPictures | undefined;
  /** Pictures of older runs as addresses of data, in place of `pictures`. */
  readonly grids: { readonly batch: string | undefined; readonly predictions: string | undefined };
  readonly files: readonly RunFile[];
  /** Sentences about files that are missing or can't be read. */
  readonly notes: readonly string[];
}

/** Files that aren't worth a link: the page itself, and what is gone when the run has ended. */
const PASSING = new Set(["report.html", LIVE_FILE]);

/** Larger pictures aren't put into the report. */
const MAX_GRID_BYTES = 1_000_000;

/** Points of the metrics, of which several become one in a long run. */
const MAX_METRICS = 4000;

/** So much of the log's end is read. */
const MAX_LOG_BYTES = 64_000;

/** Reads a run folder; `history` is that of the run in progress, newer than the file. */
export async function readRunFiles(folder: string, history?: History): Promise<RunFiles> {
  const notes: string[] = [];
  /**
   * Returns the result of `read`, or nothing and a note; a missing file gets a note only when the run should have it.
   */
  const attempt = async <T>(file: string, read: () => Promise<T>, expected = true) => {
    try {
      return await read();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) {
        if (expected) notes.push(`${file} is missing`);
      } else if (error instanceof LockstepError || error instanceof SyntaxError) {
        notes.push(`${file} can't be used: ${error.message}`);
      } else throw error;
    }
  };
  const text = (file: string) => readRegularText(join(folder, file));
  const files = await listFiles(folder);
  const has = (file: string) => files.some(({ path }) => path === file);
  const configText = await attempt("config.yaml", () => text("config.yaml"));
  const config = await attempt("config.yaml", () => Promise.resolve(treeOf(configText)), false);
  if (!history && !has(HISTORY_FILE)) {
    notes.push(`${HISTORY_FILE} is missing: no epoch was finished`);
  } else history ??= await attempt(HISTORY_FILE, () => readHistory(folder));
  const events = await attempt(EVENTS_FILE, () => readEvents(folder)) ?? [];
  const metrics = await attempt(METRICS_FILE, () => readThinMetrics(folder, MAX_METRICS)) ?? [];
  if (metrics.length === 0) {
    notes.push(`${METRICS_FILE} has no points: the page can't say where time went`);
  }
  const environment = await attempt(
    "environment.json",
    async () => JSON.parse(await text("environment.json")) as Tree,
  );
  const predictions = has("predictions.csv")
    ? await attempt("predictions.csv", () => readPredictions(folder))
    : undefined;
  const pictures = await attempt(REPORT_PICTURES_FILE, () => readReportPictures(folder), false);
  const grid = (file: string) =>
    pictures ? undefined : attempt(file, () => pictureData(join(folder, file)), false);
  const known = config ?? (isTree(history?.config) ? history?.config : undefined);
  const log = await attempt(RUN_LOG_FILE, () => endOf(join(folder, RUN_LOG_FILE)), false);
  // Older versions kept the credentials of the run's server.
  const server = isTree(known?.nats) ? known : { nats: { url: environment?.natsServer } };
  const shown = (text: string | undefined) =>
    text === undefined ? undefined : maskRunText(text, server);
  return {
    folder,
    name: basename(resolve(folder)),
    config: withoutCredentials(known),
    configText: shown(configText),
    history,
    events: events.map((event) => JSON.parse(maskedJson(event, server)) as LoggedEvent),
    lives: await attempt(LIVE_FILE, () => readLiveStatus(folder), false) !== undefined,
    metrics,
    environment: isTree(environment) ? maskedEnvironment(environment, shown) : undefined,
    log: shown(log),
    predictions,
    pictures,
    grids: { batch: await grid("batch.png"), predictions: await grid("predictions.png") },
    files,
    notes,
  };
}

/** Tells whether a value is a mapping of names to values. */
export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function withoutCredentials(config: Tree | undefined): Tree | undefined {
  const { nats } = config ?? {};
  if (!isTree(nats) || typeof nats.url !== "string") return config;
  return { ...config, nats: { ...nats, url: maskAddress(nats.url) } };
}

function maskedEnvironment(
  environment: Tree,
  shown: (text: string) => string | undefined,
): Tree {
  const { commandLine, natsServer } = environment;
  const texts = Array.isArray(commandLine)
    ? { commandLine: maskArguments(commandLine.map(String)).map(shown) }
    : {};
  const server = typeof natsServer === "string" ? { natsServer: maskAddress(natsServer) } : {};
  return { ...environment, ...texts, ...server };
}

function treeOf(yaml: string | undefined): Tree | undefined {
  if (yaml === undefined) return undefined;
  try {
    const tree: unknown = parse(yaml, { logLevel: "error" }); // no warnings on standard error
    if (isTree(tree)) return tree;
  } catch (error) {
    throw new LockstepError(`it is not valid YAML (${(error as Error).message.split("\n")[0]})`);
  }
  throw new LockstepError("it holds no keys");
}

/** The end of a text, from a line's beginning on. */
async function endOf(path: string): Promise<string> {
  using file = await openRegularFile(path);
  const { size } = await file.stat();
  const start = Math.max(0, size - MAX_LOG_BYTES);
  await file.seek(start, Deno.SeekMode.Start);
  const text = await new Response(file.readable).text();
  return start === 0 ? text : text.slice(text.indexOf("\n") + 1);
}

/** A PNG as an address of data, unless it is large. */
async function pictureData(path: string): Promise<string | undefined> {
  const { size } = await Deno.stat(path);
  if (size > MAX_GRID_BYTES) return undefined;
  return `data:image/png;base64,${(await readRegularFile(path)).toBase64()}`;
}

/** The files of a run folder, and the checkpoints by the names that stay. */
async function listFiles(folder: string): Promise<RunFile[]> {
  const files: RunFile[] = [];
  for await (const { name, isFile, isDirectory } of Deno.readDir(folder)) {
    if (PASSING.has(name) || name.endsWith(".tmp")) continue;
    if (isFile) files.push({ path: name, bytes: (await Deno.stat(join(folder, name))).size });
    else if (name === "checkpoints") files.push(...await listCheckpoints(folder));
    else if (isDirectory) files.push({ path: `${name}/` });
  }
  return files.sort((a, b) => a.path < b.path ? -1 : 1);
}

async function listCheckpoints(folder: string): Promise<RunFile[]> {
  const entries = await Array.fromAsync(Deno.readDir(join(folder, "checkpoints")));
  return entries.filter(({ isSymlink }) => isSymlink)
    .map(({ name }) => ({ path: `checkpoints/${name}/` }));
}
