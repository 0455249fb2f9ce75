/**
 * The runs of a folder: which there are, and how each stands.
 *
 * @module
 */
import { join } from "node:path";
import { parse } from "../deps/yaml.ts";
import { maskRunText } from "../base/secrets.ts";
import { reasonOf } from "../base/errors.ts";
import { readRegularText } from "../base/regular_file.ts";
import { EVENTS_FILE } from "../records/event_log.ts";
import { LIVE_FILE, readLiveStatus } from "../records/live_status.ts";
import { type RunState, stateAfter } from "../records/run_turns.ts";
import { NO_PROGRESS, RunDigest, type RunProgress } from "./run_digest.ts";

/** A run in a line. */
export interface RunSummary {
  /** Name of its folder; behind that of its comparison and a slash where it is part of one. */
  readonly id: string;
  /** The config's `name`. */
  readonly name: string;
  readonly model: string;
  /** Workers of its session, as long as they haven't joined those of the config. */
  readonly workers: number | null;
  /** Recoveries from lost workers, and their seconds in all. */
  readonly recoveries: number;
  readonly recoverySeconds: number;
  /** True while it goes on and recovers from a loss. */
  readonly isRecovering: boolean;
  /** The devices of the workers, such as `4 × NVIDIA L4`; `null` while they aren't known. */
  readonly devices: string | null;
  readonly state: RunState;
  /** Times of the first and the last event; ISO 8601. */
  readonly started: string | null;
  readonly updated: string | null;
  /** Epochs that are on record, and those that it is to have. */
  readonly epochs: number;
  readonly ofEpochs: number | null;
  /** Best validation accuracy and its epoch. */
  readonly best: { readonly accuracy: number; readonly epoch: number } | null;
  /** Seconds of all its epochs. */
  readonly seconds: number;
  /** The reason why the run ended before its last epoch; `null` where it didn't. */
  readonly message: string | null;
}

/** Names of folders of runs and comparisons: made of any characters but separators, and not hidden. */
const RUN_ID = /^[^./\\\0][^/\\\0]{0,254}$/;
/** Runs that are looked at, the newest ones. */
const MAX_RUNS = 500;
const CONFIG_FILE = "config.yaml";
const COMPARISON_FILE = "comparison.json";

/** The facts that are read from a config. */
interface ConfigFacts {
  readonly name: string;
  readonly model: string;
  readonly workers: number | null;
  readonly ofEpochs: number | null;
}

/** The cached facts of a run, so that unchanged files aren't read again. */
interface Known {
  readonly digest: RunDigest;
  /** Sizes and times of the files that the rest was read from. */
  config?: { readonly version: string; readonly facts: ConfigFacts; readonly nats: unknown };
  whole?: { readonly version: string; readonly summary: RunSummary };
}

/** Looks at a folder of runs; what hasn't changed isn't read again. */
export class RunList {
  /** The folder. */
  readonly folder: string;
  readonly #known = new Map<string, Known>();

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Path of a run's folder, or `undefined` where there is no such run: nothing else is ever opened. */
  async pathOf(id: string): Promise<string | undefined> {
    const [first, second, ...more] = id.split("/");
    if (more.length > 0) return undefined;
    const parent = second === undefined ? this.folder : await this.comparisonPathOf(first);
    const name = second ?? first;
    if (parent === undefined || !RUN_ID.test(name)) return undefined;
    const path = join(parent, name);
    const [folder, config] = await Promise.all([lstat(path), lstat(join(path, CONFIG_FILE))]);
    return folder?.isDirectory && config?.isFile ? path : undefined;
  }

  /** Path of a comparison's folder, or `undefined` where there is no such comparison. */
  async comparisonPathOf(id: string): Promise<string | undefined> {
    if (!RUN_ID.test(id)) return undefined;
    const path = join(this.folder, id);
    const [folder, file] = await Promise.all([lstat(path), lstat(join(path, COMPARISON_FILE))]);
    return folder?.isDirectory && file?.isFile ? path : undefined;
  }

  /** Names of all folders that may hold a run or a comparison, the newest first. */
  async folders(): Promise<string[]> {
    const ids: string[] = [];
    try {
      for await (const { name, isDirectory } of Deno.readDir(this.folder)) {
        if (isDirectory && RUN_ID.test(name)) ids.push(name);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    return ids.sort().reverse();
  }

  /** All runs, the newest first. */
  async all(): Promise<RunSummary[]> {
    const ids = await this.folders();
    const there = new Set(ids);
    for (const id of this.#known.keys()) {
      if (!there.has(id.split("/")[0])) this.#known.delete(id);
    }
    const runs: RunSummary[] = [];
    for (const id of ids.slice(0, MAX_RUNS)) {
      const summary = await this.summary(id);
      if (summary) runs.push(summary);
    }
    return runs;
  }

  /** One run in a line; nothing where there is no such run. */
  async summary(id: string): Promise<RunSummary | undefined> {
    const path = await this.pathOf(id);
    if (!path) {
      this.#known.delete(id);
      return undefined;
    }
    const known = this.#knownOf(id, path);
    const configVersion = await versionOf(path, [CONFIG_FILE]);
    const version = `${configVersion} ${await versionOf(path, [EVENTS_FILE, LIVE_FILE])}`;
    const { whole } = known;
    // A run that goes on may stop doing so without a change of its files.
    if (whole?.version === version && whole.summary.state !== "running") return whole.summary;
    if (known.config?.version !== configVersion) {
      const tree = await readConfig(path);
      known.config = { version: configVersion, facts: configFacts(tree), nats: tree.nats };
    }
    const { facts, nats } = known.config;
    const [progress, live] = await Promise.all([
      known.digest.progress().catch(unreadable),
      readLiveStatus(path).catch(() => undefined), // the same for the reader as one that isn't there
    ]);
    const { turn, validation: _validation, message: told, ...rest } = progress;
    const message = told === null ? null : maskRunText(told, { nats });
    const state = stateAfter(turn, live !== undefined);
    const summary = {
      ...{ id, ...facts, ...rest, message, state },
      workers: rest.workers ?? facts.workers,
      isRecovering: rest.isRecovering && state === "running",
    };
    known.whole = { version, summary };
    return summary;
  }

  /** Returns the summary of a run's events; nothing where there is no such run. */
  async progress(id: string): Promise<RunProgress | undefined> {
    const path = await this.pathOf(id);
    return path ? await this.#knownOf(id, path).digest.progress() : undefined;
  }

  #knownOf(id: string, path: string): Known {
    const known = this.#known.get(id) ?? { digest: new RunDigest(path) };
    this.#known.set(id, known);
    return known;
  }
}

/** A run whose events can't be read stands in the list with the reason, and takes nothing from the others. */
function unreadable(error: unknown): RunProgress {
  return { ...NO_PROGRESS, message: `${EVENTS_FILE} can't be read: ${reasonOf(error)}` };
}

/** Reads the facts of a config that any version of Lockstep may have written. */
function configFacts(tree: Readonly<Record<string, unknown>>): ConfigFacts {
  const text = (value: unknown) => typeof value === "string" ? value : "?";
  const whole = (value: unknown) => typeof value === "number" ? value : null;
  const section = (name: string) => (tree[name] ?? {}) as Record<string, unknown>;
  return {
    name: text(tree.name),
    model: text(section("model").name),
    workers: whole(tree.workers),
    ofEpochs: whole(section("train").epochs),
  };
}

/** The config of a run; empty where it can't be read. */
export async function readConfig(path: string): Promise<Record<string, unknown>> {
  try {
    const tree = parse(await readRegularText(join(path, CONFIG_FILE)), { logLevel: "error" });
    return typeof tree === "object" && tree !== null ? tree as Record<string, unknown> : {};
  } catch {
    return {}; // somebody's own file: the run is shown without what it would tell
  }
}

/** Changes whenever one of the files changes. */
async function versionOf(path: string, names: readonly string[]): Promise<string> {
  const stats = await Promise.all(names.map((name) => lstat(join(path, name))));
  return stats.map((stat) => stat ? `${stat.size}@${stat.mtime?.getTime()}` : "-").join(" ");
}

/** Facts about an entry itself; nothing where there is none that may be looked at. */
export async function lstat(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    const { NotFound, NotADirectory, PermissionDenied } = Deno.errors;
    if (![NotFound, NotADirectory, PermissionDenied].some((kind) => error instanceof kind)) {
      throw error;
    }
    return undefined;
  }
}
