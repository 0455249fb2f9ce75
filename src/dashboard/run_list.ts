/**
 * The runs of a folder: which there are, and how each stands.
 *
 * @module
 */
import { join } from "node:path";
import { parse } from "@std/yaml";
import { readEvents, type RunEvent } from "../records/event_log.ts";
import { LIVE_FILE, readLiveStatus } from "../records/live_status.ts";
import type { LiveStatus } from "../records/live_status.ts";

/** How a run stands; `lost` means that it ended without a word: killed, or its machine went off. */
export type RunState = "running" | "finished" | "interrupted" | "failed" | "lost";

/** A run in a line. */
export interface RunSummary {
  /** Name of its folder. */
  readonly id: string;
  /** The config's `name`. */
  readonly name: string;
  readonly model: string;
  readonly workers: number | null;
  readonly state: RunState;
  /** When it began, and when it last said something; ISO 8601. */
  readonly started: string | null;
  readonly updated: string | null;
  /** Epochs that are on record, and those that it is to have. */
  readonly epochs: number;
  readonly ofEpochs: number | null;
  /** Best validation accuracy and its epoch. */
  readonly best: { readonly accuracy: number; readonly epoch: number } | null;
  /** Seconds of all its epochs. */
  readonly seconds: number;
  /** Why it ended, where it did before its end. */
  readonly message: string | null;
}

/** Names of run folders: made of any characters but separators, and not hidden. */
const RUN_ID = /^[^./\\\0][^/\\\0]{0,254}$/;
/** Runs that are looked at, the newest ones. */
const MOST_RUNS = 500;
const CONFIG_FILE = "config.yaml";

/** What the config tells. */
interface ConfigFacts {
  readonly name: string;
  readonly model: string;
  readonly workers: number | null;
  readonly ofEpochs: number | null;
}

interface Cached {
  readonly version: string;
  readonly summary: RunSummary;
}

/** Looks at a folder of runs; what hasn't changed isn't read again. */
export class RunList {
  /** The folder. */
  readonly folder: string;
  readonly #cached = new Map<string, Cached>();

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Path of a run's folder, or `undefined` where there is no such run: nothing else is ever opened. */
  async pathOf(id: string): Promise<string | undefined> {
    if (!RUN_ID.test(id)) return undefined;
    const path = join(this.folder, id);
    const [folder, config] = await Promise.all([lstat(path), lstat(join(path, CONFIG_FILE))]);
    return folder?.isDirectory && config?.isFile ? path : undefined;
  }

  /** All runs, the newest first. */
  async all(): Promise<RunSummary[]> {
    const ids: string[] = [];
    try {
      for await (const { name, isDirectory } of Deno.readDir(this.folder)) {
        if (isDirectory && RUN_ID.test(name)) ids.push(name);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    ids.sort().reverse();
    const runs: RunSummary[] = [];
    for (const id of ids.slice(0, MOST_RUNS)) {
      const summary = await this.summary(id);
      if (summary) runs.push(summary);
    }
    return runs;
  }

  /** One run in a line; nothing where there is no such run. */
  async summary(id: string): Promise<RunSummary | undefined> {
    const path = await this.pathOf(id);
    if (!path) return undefined;
    const version = await versionOf(path);
    const cached = this.#cached.get(id);
    // A run that goes on may stop doing so without a change of its files.
    if (cached?.version === version && cached.summary.state !== "running") return cached.summary;
    const [facts, events, live] = await Promise.all([
      configFacts(path),
      readEvents(path).catch(() => []), // one that is just being made has none
      readLiveStatus(path),
    ]);
    const summary = { id, ...facts, ...progressOf(events), state: stateOf(events, live) };
    this.#cached.set(id, { version, summary });
    return summary;
  }
}

/** How a run stands, by what it wrote last. */
export function stateOf(events: readonly RunEvent[], live: LiveStatus | undefined): RunState {
  const types = ["started", "resumed", "finished", "interrupted", "failed"];
  const last = events.findLast(({ type }) => types.includes(type))?.type;
  if (last === "finished" || last === "interrupted" || last === "failed") return last;
  return live ? "running" : "lost";
}

function progressOf(events: readonly RunEvent[]) {
  let epochs = 0;
  let seconds = 0;
  let best: RunSummary["best"] = null;
  for (const { type, epoch, validation, seconds: took } of events) {
    if (type !== "epoch" || typeof epoch !== "number") continue;
    epochs = Math.max(epochs, epoch);
    if (typeof took === "number") seconds += took;
    const accuracy = (validation as { accuracy?: unknown } | undefined)?.accuracy;
    if (typeof accuracy === "number" && accuracy > (best?.accuracy ?? -1)) {
      best = { accuracy, epoch };
    }
  }
  const last = events.at(-1);
  const ended = last?.type === "failed" || last?.type === "interrupted";
  return {
    epochs,
    seconds,
    best,
    started: events[0]?.time ?? null,
    updated: last?.time ?? null,
    message: ended && typeof last.message === "string" ? last.message : null,
  };
}

/** What can be had of a config, whatever version of Lockstep wrote it. */
async function configFacts(path: string): Promise<ConfigFacts> {
  const tree = await readConfig(path);
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
    const tree = parse(await Deno.readTextFile(join(path, CONFIG_FILE)));
    return typeof tree === "object" && tree !== null ? tree as Record<string, unknown> : {};
  } catch {
    return {}; // somebody's own file: the run is shown without what it would tell
  }
}

/** Changes whenever one of the files changes that a summary is made of. */
async function versionOf(path: string): Promise<string> {
  const stats = await Promise.all(
    [CONFIG_FILE, "events.jsonl", LIVE_FILE].map((name) => lstat(join(path, name))),
  );
  return stats.map((stat) => stat ? `${stat.size}@${stat.mtime?.getTime()}` : "-").join(" ");
}

async function lstat(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw error;
  }
}
