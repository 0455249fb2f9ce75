/**
 * The comparisons of a folder of runs: which there are, and how each of their runs stands.
 *
 * @module
 */
import { readRegularText } from "../base/regular_file.ts";
import { join } from "node:path";
import { z } from "../deps/zod.ts";
import { LOCK_FILE } from "../base/folder_lock.ts";
import { maskRunText } from "../base/secrets.ts";
import { lstat, type RunList } from "./run_list.ts";
import type { RunState } from "../records/run_turns.ts";

/** The state of a comparison's run; `waiting` means that it wasn't begun. */
export type MemberState = RunState | "waiting";

/** A run of a comparison in a line. */
export interface MemberSummary {
  /** As in {@linkcode RunList}: the comparison's folder, a slash, and the run's folder. */
  readonly id: string;
  /** Name of its variant, and the position of that. */
  readonly label: string;
  readonly variant: number;
  readonly seed: number;
  readonly state: MemberState;
  /** True if the run has a folder. */
  readonly begun: boolean;
  readonly epochs: number;
  readonly ofEpochs: number | null;
  readonly best: { readonly accuracy: number; readonly epoch: number } | null;
  readonly seconds: number;
  /** Recoveries from lost workers, and their seconds in all. */
  readonly recoveries: number;
  readonly recoverySeconds: number;
  readonly message: string | null;
}

/** A comparison in a line. */
export interface ComparisonSummary {
  /** Name of its folder. */
  readonly id: string;
  readonly name: string;
  /** ISO 8601. */
  readonly created: string;
  readonly state: RunState;
  readonly variants: number;
  readonly finished: number;
  readonly runs: number;
  /** The best accuracy of any run, and the name of its variant. */
  readonly best: { readonly accuracy: number; readonly label: string } | null;
}

/** A comparison with its runs. */
export interface ComparisonDetail extends ComparisonSummary {
  readonly members: readonly MemberSummary[];
  /** Names of the variants. */
  readonly labels: readonly string[];
  /** Settings that differ, with each variant's value as JSON. */
  readonly differences: readonly { readonly key: string; readonly values: readonly string[] }[];
  /** Time of its report, in milliseconds since 1970; `null` where there is none. */
  readonly report: number | null;
}

const COMPARISON_FILE = "comparison.json";
const REPORT_FILE = "report.html";
/** Comparisons that are looked at, the newest ones. */
const MAX_COMPARISONS = 100;
/** Larger files aren't read: they would take the memory of the dashboard. */
const MAX_BYTES = 256e6;
/** Settings that are shown: weights of classes are a setting each. */
const MAX_SETTINGS = 200;
/** Milliseconds after its last word in which a comparison between two runs counts as running. */
const BETWEEN_RUNS_MS = 60_000;

/** The part of `comparison.json`, of any version, that is read. */
const planSchema = z.object({
  name: z.string(),
  created: z.string(),
  variants: z.array(z.object({
    label: z.string(),
    config: z.looseObject({ train: z.object({ epochs: z.number() }) }).optional().catch(undefined),
    differences: z.record(z.string(), z.unknown()).catch({}),
    runs: z.array(z.object({
      seed: z.number(),
      folder: z.string(),
      status: z.enum(["waiting", "running", "interrupted", "failed", "finished"]),
      message: z.string().optional(),
    })),
  })).min(1),
});
type Plan = z.output<typeof planSchema>;
type PlannedRun = Plan["variants"][number]["runs"][number];

/** A plan, or nothing where the file can't be read, as of a version of the file. */
interface Known {
  readonly version: string;
  readonly plan: Plan | undefined;
}

/** Looks at the comparisons among a folder's runs; what hasn't changed isn't read again. */
export class ComparisonList {
  readonly #runs: RunList;
  readonly #known = new Map<string, Known>();

  constructor(runs: RunList) {
    this.#runs = runs;
  }

  /** All comparisons, the newest first. */
  async all(): Promise<ComparisonSummary[]> {
    const ids = await this.#runs.folders();
    const there = new Set(ids);
    for (const id of this.#known.keys()) if (!there.has(id)) this.#known.delete(id);
    const comparisons: ComparisonSummary[] = [];
    for (const id of ids) {
      if (comparisons.length === MAX_COMPARISONS) break;
      const detail = await this.detail(id);
      if (!detail) continue;
      const { members: _m, labels: _l, differences: _d, report: _r, ...summary } = detail;
      comparisons.push(summary);
    }
    return comparisons;
  }

  /** A comparison with its runs; nothing where there is none of this name, or it can't be read. */
  async detail(id: string): Promise<ComparisonDetail | undefined> {
    const path = await this.#runs.comparisonPathOf(id);
    const stat = path && await lstat(join(path, COMPARISON_FILE));
    if (!path || !stat) return undefined;
    const plan = await this.#plan(id, path, stat);
    if (!plan) return undefined;
    const written = stat.mtime?.getTime() ?? 0;
    const isLocked = await lstat(join(path, LOCK_FILE)) !== undefined;
    const mayLive = isLocked && Date.now() - written < BETWEEN_RUNS_MS;
    const members: MemberSummary[] = [];
    for (const [variant, { label, config, runs }] of plan.variants.entries()) {
      for (const run of runs) {
        const place = { id: `${id}/${run.folder}`, label, variant };
        const message = run.message === undefined ? {} : {
          message: maskRunText(run.message, config),
        };
        const planned = { ...run, ...message };
        members.push(await this.#member(place, planned, config?.train.epochs ?? null, mayLive));
      }
    }
    const report = await lstat(join(path, REPORT_FILE));
    return {
      id,
      name: plan.name,
      created: plan.created,
      ...totals(members, mayLive),
      variants: plan.variants.length,
      members,
      labels: plan.variants.map(({ label }) => label),
      differences: differencesOf(plan),
      report: report?.isFile ? report.mtime?.getTime() ?? 0 : null,
    };
  }

  async #plan(id: string, path: string, stat: Deno.FileInfo): Promise<Plan | undefined> {
    const version = `${stat.size}@${stat.mtime?.getTime()}`;
    const known = this.#known.get(id);
    if (known?.version === version) return known.plan;
    const plan = stat.size > MAX_BYTES ? undefined : await readPlan(join(path, COMPARISON_FILE));
    this.#known.set(id, { version, plan });
    return plan;
  }

  /** The run's own folder knows more than the plan; the plan knows of failures before there was one. */
  async #member(
    place: Pick<MemberSummary, "id" | "label" | "variant">,
    { seed, status, message }: PlannedRun,
    ofEpochs: number | null,
    mayLive: boolean,
  ): Promise<MemberSummary> {
    const run = await this.#runs.summary(place.id);
    let state: MemberState = status;
    if (run?.state === "running") state = "running";
    else if (status === "running" && !mayLive) state = run?.state ?? "lost";
    return {
      ...place,
      seed,
      state,
      begun: run !== undefined,
      epochs: run?.epochs ?? 0,
      ofEpochs: run?.ofEpochs ?? ofEpochs,
      best: run?.best ?? null,
      seconds: run?.seconds ?? 0,
      recoveries: run?.recoveries ?? 0,
      recoverySeconds: run?.recoverySeconds ?? 0,
      message: message ?? run?.message ?? null,
    };
  }
}

async function readPlan(path: string): Promise<Plan | undefined> {
  try {
    return planSchema.parse(JSON.parse(await readRegularText(path)));
  } catch {
    return undefined; // somebody's own file: the list is shown without it
  }
}

/** Returns a comparison's state, by its runs. */
function totals(
  members: readonly MemberSummary[],
  mayLive: boolean,
): Pick<ComparisonSummary, "state" | "finished" | "runs" | "best"> {
  const finished = members.filter(({ state }) => state === "finished").length;
  const has = (state: MemberState) => members.some((member) => member.state === state);
  let best: ComparisonSummary["best"] = null;
  for (const { best: own, label } of members) {
    if (own && own.accuracy > (best?.accuracy ?? -1)) best = { accuracy: own.accuracy, label };
  }
  const isOver = finished === members.length;
  const state: RunState = has("running") || (mayLive && !isOver)
    ? "running"
    : isOver
    ? "finished"
    : has("failed")
    ? "failed"
    : has("lost")
    ? "lost"
    : "interrupted";
  return { state, finished, runs: members.length, best };
}

function differencesOf({ variants }: Plan): ComparisonDetail["differences"] {
  const keys = [...new Set(variants.flatMap(({ differences }) => Object.keys(differences)))];
  return keys.slice(0, MAX_SETTINGS).map((key) => ({
    key,
    values: variants.map(({ differences }) => {
      const value = differences[key];
      return value === null || value === undefined ? "–" : JSON.stringify(value);
    }),
  }));
}
