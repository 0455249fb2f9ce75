/**
 * The faults of the soak test: what is done to a run's processes and files, and how the run may end after it.
 *
 * @module
 */
import { join } from "node:path";
import { delay } from "../../src/base/async.ts";
import { FAULT_VARIABLE, type FaultPoint } from "../../src/base/fault_point.ts";
import { randomInt, type RandomStream } from "../../src/base/random.ts";
import type { SmallDisk } from "../../tests/support/small_disk.ts";
import type { Recipe } from "./recipes.ts";
import { processesOf, type RunProcess, sendSignal } from "./run_processes.ts";

/** The run that a fault is done to. */
export interface Target {
  /** Pid of the coordinator, which is also its process group's. */
  readonly pid: number;
  /** The run's mark. */
  readonly mark: string;
  /** The folder of this run's own images. */
  readonly images: string;
  /** The disk of its run folder, where that is a small one. */
  readonly disk: SmallDisk | undefined;
  /** Resolves when the coordinator has ended. */
  readonly ended: Promise<unknown>;
  /** Called with what was done to which process, for the protocol of the run. */
  note(line: string): void;
}

/** A fault with its parameters. */
export interface Fault {
  readonly kind: string;
  /** Variables of the environment that make it, where it needs no action. */
  readonly env?: Readonly<Record<string, string>>;
  /** Exit codes with which the coordinator may end after it, beside 0, which is always allowed. */
  readonly codes: readonly number[];
  /** Further ones where it comes before the workers train: then there is nothing to go on with. */
  readonly codesAtStart?: readonly number[];
  /** True when the coordinator can't clean up, so that its processes end by themselves. */
  readonly isSudden?: boolean;
  /** Does it, and takes back what it must not leave; returns whether there was anything to do it to. */
  readonly apply?: (target: Target) => Promise<boolean>;
}

/** A kind of fault. */
export interface FaultKind {
  readonly name: string;
  /** Probability of being drawn, relative to the others. */
  readonly weight: number;
  readonly fits?: (recipe: Recipe) => boolean;
  readonly needsDisk?: boolean;
  /** Draws its parameters. */
  readonly draw: (random: RandomStream, recipe: Recipe) => Omit<Fault, "kind">;
}

/** The coordinator's exit code when it is killed. */
const KILLED = 137;
/** The exit code of a failure. */
const FAILED = 1;

const severalWorkers = ({ workers }: Recipe) => workers > 1;

/** The fault points that a worker comes to in each step of a recipe. */
function pointsOf({ workers, changes, isLong }: Recipe): readonly FaultPoint[] {
  const always = ["gradients", "sum-to-update", "update"] as const;
  if (changes.exchange === "nats") return [...always, "between-chunks"];
  const ofSum = isLong ? "between-chunks" as const : "slot" as const;
  const met = ["record", "after-sum", "before-commit", "after-commit"] as const;
  return [...always, ...met, ...workers > 1 ? [ofSum] : []];
}

/** Sends a signal to processes of a role, and tells whether any was there. */
async function signalTo(
  target: Target,
  role: RunProcess["role"],
  signal: Deno.Signal,
  choose: (pids: number[]) => number[],
): Promise<number[]> {
  const pids = (await processesOf(target.mark)).filter((process) => process.role === role)
    .map(({ pid }) => pid).sort((a, b) => a - b);
  const reached = choose(pids).filter((pid) => sendSignal(pid, signal));
  for (const pid of reached) target.note(`${signal} to ${role} ${pid}`);
  return reached;
}

/** Stops processes of a role, and continues them after some time. */
async function standStill(
  target: Target,
  role: RunProcess["role"],
  ms: number,
  choose: (pids: number[]) => number[],
): Promise<boolean> {
  const stopped = await signalTo(target, role, "SIGSTOP", choose);
  await Promise.race([delay(ms), target.ended]);
  for (const pid of stopped) sendSignal(pid, "SIGCONT");
  return stopped.length > 0;
}

const all = (pids: number[]) => pids;
const oneAt = (index: number) => (pids: number[]) =>
  pids.length === 0 ? [] : [pids[index % pids.length]];

function killWorkers(count: (recipe: Recipe) => number): FaultKind["draw"] {
  return (random, recipe) => {
    const first = randomInt(random, recipe.workers);
    const chosen = (pids: number[]) =>
      [...pids.slice(first), ...pids.slice(0, first)].slice(0, count(recipe));
    return {
      codes: [],
      codesAtStart: [FAILED],
      apply: async (target) => (await signalTo(target, "worker", "SIGKILL", chosen)).length > 0,
    };
  };
}

function stopFor(role: RunProcess["role"], longestMs: number): FaultKind["draw"] {
  return (random, { workers }) => {
    const ms = 100 + randomInt(random, longestMs);
    const index = randomInt(random, workers);
    return { codes: [], apply: (target) => standStill(target, role, ms, oneAt(index)) };
  };
}

/** The disks that are full now, of which no second fault can be made. */
const full = new Set<SmallDisk>();

/** The stop signals with their exit codes. */
const STOPS = [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const;

/** All kinds of faults. */
export const FAULT_KINDS: readonly FaultKind[] = [
  { name: "worker killed", weight: 4, draw: killWorkers(() => 1) },
  {
    name: "worker killed at a fault point",
    weight: 4,
    draw: (random, recipe) => {
      const points = pointsOf(recipe);
      const point = points[randomInt(random, points.length)];
      const rank = randomInt(random, recipe.workers);
      return {
        env: { [FAULT_VARIABLE]: `${point}:${rank}:${1 + randomInt(random, 5)}` },
        codes: [],
      };
    },
  },
  { name: "two workers killed", weight: 2, fits: severalWorkers, draw: killWorkers(() => 2) },
  { name: "all workers killed", weight: 1, draw: killWorkers(({ workers }) => workers) },
  { name: "worker stopped and continued", weight: 2, draw: stopFor("worker", 2_500) },
  {
    name: "worker stopped for good",
    weight: 1,
    draw: (random, { workers }) => {
      const index = randomInt(random, workers);
      return {
        codes: [],
        codesAtStart: [FAILED],
        // Continued after a minute: by then the run has counted it as lost.
        apply: (target) => standStill(target, "worker", 60_000, oneAt(index)),
      };
    },
  },
  { name: "coordinator stopped and continued", weight: 1, draw: stopFor("coordinator", 2_500) },
  {
    name: "all processes stopped and continued",
    weight: 1,
    draw: (random) => {
      const ms = 500 + randomInt(random, 9_500);
      return {
        codes: [],
        apply: async (target) => {
          const pids = (await processesOf(target.mark)).map(({ pid }) => pid);
          const stopped = pids.filter((pid) => sendSignal(pid, "SIGSTOP"));
          await delay(ms);
          for (const pid of stopped) sendSignal(pid, "SIGCONT");
          return stopped.length > 0;
        },
      };
    },
  },
  {
    name: "coordinator killed",
    weight: 3,
    draw: () => ({
      codes: [KILLED],
      isSudden: true,
      apply: (target) => Promise.resolve(sendSignal(target.pid, "SIGKILL")),
    }),
  },
  {
    name: "process group killed",
    weight: 3,
    draw: () => ({
      codes: [KILLED],
      isSudden: true,
      apply: (target) => Promise.resolve(sendSignal(-target.pid, "SIGKILL")),
    }),
  },
  {
    name: "nats-server killed",
    weight: 2,
    draw: () => ({
      codes: [],
      codesAtStart: [FAILED],
      apply: async (target) => (await signalTo(target, "server", "SIGKILL", all)).length > 0,
    }),
  },
  { name: "nats-server stopped and continued", weight: 1, draw: stopFor("server", 2_500) },
  {
    name: "nats-server and worker killed",
    weight: 1,
    draw: () => ({
      codes: [],
      codesAtStart: [FAILED],
      apply: async (target) => {
        const server = await signalTo(target, "server", "SIGKILL", all);
        const worker = await signalTo(target, "worker", "SIGKILL", oneAt(0));
        return server.length + worker.length > 0;
      },
    }),
  },
  {
    name: "stop signal",
    weight: 3,
    draw: (random) => {
      const [signal, code] = STOPS[randomInt(random, STOPS.length)];
      const toGroup = random() < 0.5;
      return {
        codes: [code],
        apply: (target) => Promise.resolve(sendSignal(toGroup ? -target.pid : target.pid, signal)),
      };
    },
  },
  {
    name: "two stop signals",
    weight: 1,
    draw: (random) => {
      const [signal, code] = STOPS[randomInt(random, STOPS.length)];
      const ms = randomInt(random, 2_000);
      return {
        codes: [code],
        apply: async (target) => {
          const isReached = sendSignal(target.pid, signal);
          await Promise.race([delay(ms), target.ended]);
          sendSignal(target.pid, signal);
          return isReached;
        },
      };
    },
  },
  {
    name: "full disk",
    weight: 2,
    needsDisk: true,
    draw: (random) => {
      const ms = 200 + randomInt(random, 3_000);
      return {
        codes: [FAILED],
        apply: async ({ disk, ended }) => {
          if (!disk || full.has(disk)) return false;
          full.add(disk);
          disk.fill();
          await Promise.race([delay(ms), ended]);
          disk.free();
          full.delete(disk);
          return true;
        },
      };
    },
  },
  {
    name: "image gone",
    weight: 1,
    draw: (random) => {
      const name = `${randomInt(random, 28)}.jpg`;
      return {
        codes: [FAILED],
        apply: async ({ images, ended }) => {
          const path = join(images, "train", "light", name);
          const away = `${images}-${name}`;
          await Deno.rename(path, away);
          await Promise.race([delay(20_000), ended]);
          await Deno.rename(away, path);
          return true;
        },
      };
    },
  },
];
