/**
 * The runs of this host as `ps` and `stop` see them: the register, and the position of each run.
 *
 * @module
 */
import { basename, resolve } from "node:path";
import { isAddress } from "../base/file_path.ts";
import { given } from "../base/given.ts";
import { task } from "../base/invocation.ts";
import { shellWord } from "../base/shell.ts";
import { seeProcesses } from "../base/process_identity.ts";
import { userName } from "../base/runtime_folder.ts";
import { foreignRegisters, LIVE_KINDS, type LiveRun, readLiveRuns } from "../records/live_runs.ts";
import { type LiveStatus, readLiveStatus } from "../records/live_status.ts";
import type { DescribedRun, DescribedWorker } from "../terminal/live_run_lines.ts";

/** State of what goes on: `silent` has renewed its `live.json` no more, `suspended` was stopped by SIGSTOP. */
export type ListedState =
  | "starting"
  | "running"
  | "recovering"
  | "stopping"
  | "silent"
  | "suspended";

/** A worker of a run, as far as it is known. */
export interface ListedWorker extends DescribedWorker {
  readonly activity?: string | undefined;
}

/** A run of this host. */
export interface ListedRun extends DescribedRun {
  readonly state: ListedState;
  readonly epoch?: number | undefined;
  readonly epochs?: number | undefined;
  readonly step?: number | undefined;
  readonly stepsPerEpoch?: number | undefined;
  readonly workers: readonly ListedWorker[];
  readonly hosts?: LiveRun["hosts"];
}

/** A program that looks like a run and isn't registered. */
export interface UnregisteredRun {
  readonly pid: number;
  readonly user: string;
  readonly isOwn: boolean;
  readonly command: string;
}

/**
 * Reads the register.
 *
 * @param all Also the registers of other users, as far as this user may read them
 */
export async function registeredRuns(all: boolean): Promise<LiveRun[]> {
  const own = await readLiveRuns();
  return all ? [...own, ...await readLiveRuns(await foreignRegisters())] : own;
}

/** Returns the runs with their positions. */
export async function listRuns(runs: readonly LiveRun[]): Promise<ListedRun[]> {
  const ids = idsOf(runs);
  const { processes } = await seeProcesses(runs.map(({ pid }) => pid));
  return await Promise.all(runs.map(async (run) => {
    const live = await liveStatusOf(run);
    const isSuspended = run.isHere && processes.get(run.pid)?.isStopped === true;
    const comparison = runs.find(({ kind, pid }) => kind === "compare" && pid === run.parent);
    return {
      id: ids.get(run)!,
      ...{ kind: run.kind, name: run.name, pid: run.pid, user: run.user },
      ...given("folder", run.folder),
      ...given("since", run.since || undefined),
      state: isSuspended ? "suspended" : stateOf(run, live),
      ...positionOf(run, live),
      workers: workersOf(run, live),
      ...given("hosts", run.hosts ?? hostsOf(live)),
      ...given("dashboard", run.dashboard),
      ...given("server", run.server),
      ...given("partOf", comparison && ids.get(comparison)),
      ...stopOf(run, ids.get(run)!),
    };
  }));
}

/** The words by which runs are found: the first of name, name of the folder and pid that no other run has. */
function idsOf(runs: readonly LiveRun[]): Map<LiveRun, string> {
  const wordsOf = ({ name, folder }: LiveRun) =>
    [name, ...(folder === undefined ? [] : [basename(folder)])]
      .filter((word) => word !== "" && !/^\d+$/.test(word) && !word.startsWith("-"));
  const isUnique = (word: string) => runs.filter((run) => wordsOf(run).includes(word)).length === 1;
  return new Map(runs.map((run) => [run, wordsOf(run).find(isUnique) ?? String(run.pid)]));
}

function stopOf(run: LiveRun, id: string): Pick<ListedRun, "stop" | "note"> {
  const note = whyNotStoppable(run);
  return note === undefined ? { stop: task(`stop ${shellWord(id)}`) } : { note };
}

/** Returns the reason why a run can't be stopped by a signal from this process. */
export function whyNotStoppable(run: LiveRun): string | undefined {
  if (!run.isHere) {
    return `it has its pid in another container or namespace (host name ${
      run.host || "unknown"
    }): stop it there`;
  }
  if (run.stopsInOrder) return undefined;
  return `it belongs to a program of its own, which takes no signal as a request to stop: end that program, or its process ` +
    `with ${task(`stop ${run.pid} --now`)}, without a checkpoint`;
}

async function liveStatusOf({ folder, kind }: LiveRun): Promise<LiveStatus | undefined> {
  if (folder === undefined || kind !== "train") return undefined;
  return await readLiveStatus(folder).catch(() => undefined); // not for this user
}

function stateOf(run: LiveRun, live: LiveStatus | undefined): ListedState {
  if (run.stopping !== undefined) return "stopping";
  if (live?.recovering) return "recovering";
  if (run.kind !== "train") return "running";
  if (live) return live.phase === "starting" ? "starting" : "running";
  return run.folder === undefined ? "starting" : "silent";
}

function positionOf(run: LiveRun, live: LiveStatus | undefined): Partial<ListedRun> {
  if (live && live.epoch > 0) {
    const { epoch, epochs, stepsPerEpoch, total, done, phase, imagesPerSecond } = live;
    const part = total > 0 ? Math.min(1, done / total) : 0;
    const isTraining = phase === "train";
    const step = isTraining ? Math.round(part * stepsPerEpoch) : undefined;
    const where = step === undefined
      ? `${phase} ${Math.floor(100 * part)}%`
      : `step ${step} of ${stepsPerEpoch}`;
    return {
      ...{ epoch, epochs, stepsPerEpoch },
      ...given("step", step),
      ...given("imagesPerSecond", imagesPerSecond),
      progress: `epoch ${epoch} of ${epochs}, ${where}`,
    };
  }
  if (!run.progress) return {};
  const { phase, done, total, imagesPerSecond } = run.progress;
  return {
    progress: total > 0 ? `${phase} ${done} of ${total}` : phase,
    ...given("imagesPerSecond", imagesPerSecond),
  };
}

/** The hosts of a run with several, by its workers. */
function hostsOf(live: LiveStatus | undefined): LiveRun["hosts"] {
  const names = [...new Set(live?.workers.map(({ host }) => host))];
  if (!live || names.length < 2) return undefined;
  return names.map((name, index) => ({
    ...{ index, name },
    workers: live.workers.filter(({ host }) => host === name).length,
  }));
}

function workersOf(run: LiveRun, live: LiveStatus | undefined): ListedWorker[] {
  if (live && live.workers.length > 0) {
    return live.workers.map(({ rank, pid, host, gpu, activity }) => ({
      ...{ rank, pid, activity },
      device: gpu ? `GPU ${gpu.index}, ${gpu.name}` : "CPU",
      ...given("host", host === run.host ? undefined : host),
    }));
  }
  return run.workers ?? [];
}

/** Command lines of programs on this host; a line each, with the arguments behind pid and user. */
const SCAN =
  `for f in $(grep -lzE '(^|/)src/cli\\.ts$' /proc/[0-9]*/cmdline); do d="\${f%/cmdline}"; ` +
  `printf '%s %s ' "\${d#/proc/}" "$(stat -c %u "$d")"; tr '\\000\\n' '\\001 ' < "$f"; echo; done`;

/** Finds programs that look like runs and aren't registered: those of other users, and those that can't write. */
export async function unregisteredRuns(
  registered: readonly LiveRun[],
  uid: number | undefined,
): Promise<UnregisteredRun[]> {
  if (Deno.build.os !== "linux") return [];
  const command = new Deno.Command("sh", { args: ["-c", SCAN], stdin: "null", stderr: "null" });
  const text = await command.output().then(
    ({ stdout }) => new TextDecoder().decode(stdout),
    () => "", // no shell
  );
  const known = new Set(registered.flatMap(({ pid, isHere }) => isHere ? [pid] : []));
  const found = parseScan(text).filter(({ pid }) => !known.has(pid) && pid !== Deno.pid);
  return await Promise.all(found.map(async ({ pid, uid: owner, args }) => ({
    pid,
    user: await userName(owner),
    isOwn: owner === uid,
    command: args.join(" "),
  })));
}

/** Reads the output of the scan: the commands that the register would hold, with their arguments. */
export function parseScan(text: string): { pid: number; uid: number; args: string[] }[] {
  return text.split("\n").flatMap((line) => {
    const match = /^(\d+) (\d+) (.*)$/s.exec(line);
    const args = match?.[3]?.split("\x01") ?? [];
    const at = args.findIndex((arg) => /(^|\/)src\/cli\.ts$/.test(arg));
    const isDeno = /(^|\/)deno(\.exe)?$/.test(args[0] ?? "");
    const isRun = LIVE_KINDS.some((kind) => kind === args[at + 1]) && !args.includes("--help");
    if (!match || at < 0 || !isDeno || !isRun) return [];
    return [{ pid: Number(match[1]), uid: Number(match[2]), args: args.slice(at + 1) }];
  }).map(({ args, ...others }) => ({ ...others, args: args.filter((arg) => arg !== "") }));
}

/** Tells whether a word is a path, rather than a name. */
export function isPathWord(word: string): boolean {
  return /[\\/]/.test(word) || word === "." || word === ".." || isAddress(word);
}

/** Returns a folder's real path, where there is one. */
export async function realPath(path: string): Promise<string> {
  return await Deno.realPath(path).catch(() => resolve(path));
}
