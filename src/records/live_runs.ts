/**
 * The register of what goes on on this host: each run, comparison, evaluation, benchmark and host agent has a file that is
 * bound to the life of its process. `deno task ps` lists them, `deno task stop` stops them.
 *
 * @module
 */
import { hostname } from "node:os";
import { z } from "../deps/zod.ts";
import { waitAtMost } from "../base/async.ts";
import { messageOf } from "../base/errors.ts";
import {
  type FoundFile,
  LiveFile,
  readLiveFile,
  readLiveFiles,
  removeDeadFiles,
} from "../base/live_file.ts";
import { isSameProcess, ownIdentity, seeProcesses } from "../base/process_identity.ts";
import {
  hasChosenRuntime,
  makeOwnFolder,
  ownRuntimeFolders,
  ownUid,
  userName,
} from "../base/runtime_folder.ts";
import { maskArguments } from "../base/secrets.ts";
import { stopsInOrder } from "../base/signals.ts";

/** Kinds of what is registered; `worker` is a host agent. */
export const LIVE_KINDS = ["train", "compare", "evaluate", "bench", "worker"] as const;
/** A kind of what is registered. */
export type LiveKind = typeof LIVE_KINDS[number];

const count = z.int().nonnegative();

const workerSchema = z.object({
  rank: count.optional(),
  pid: count.optional(),
  /** Such as `CPU` or `GPU 0, NVIDIA L4`. */
  device: z.string().optional(),
  /** Name of its host, where it isn't this one. */
  host: z.string().optional(),
});

const hostSchema = z.object({
  index: count,
  name: z.string(),
  address: z.string().optional(),
  workers: count.optional(),
});

const factsSchema = z.object({
  kind: z.enum(LIVE_KINDS),
  /** The config's `name`, or that of the benchmark. */
  name: z.string(),
  /** Absolute path of what is written. */
  folder: z.string().optional(),
  /** URL of the run's dashboard. */
  dashboard: z.string().optional(),
  /** Of a host agent: the server of the run that it has joined. */
  server: z.string().optional(),
  hosts: z.array(hostSchema).optional(),
  /** Those that `live.json` of the folder doesn't know. */
  workers: z.array(workerSchema).optional(),
  /** Position, where no `live.json` gives it. */
  progress: z.object({
    phase: z.string(),
    done: count,
    total: count,
    imagesPerSecond: z.number().nonnegative().optional(),
  }).optional(),
});

/** The facts about a run that its process registers; those that come to be known later are updates. */
export type LiveFacts = z.output<typeof factsSchema>;

const fileSchema = factsSchema.extend({
  version: z.literal(1),
  pid: count,
  parent: count,
  start: z.string().optional(),
  namespace: z.string().optional(),
  host: z.string(),
  /** ISO 8601. */
  since: z.string(),
  /** True where SIGTERM lets it end in order, with a checkpoint. */
  stopsInOrder: z.boolean(),
  /** ISO 8601: the time of the request that it follows. */
  stopping: z.string().optional(),
  command: z.array(z.string()),
});

/** An entry of the register that goes on. */
export interface LiveRun extends Omit<z.output<typeof fileSchema>, "version"> {
  /** Name of the user whose process it is. */
  readonly user: string;
  /** Path of its file in the register. */
  readonly file: string;
  /** True where the process's file says nothing but its pid, for a full disk. */
  readonly isBare: boolean;
  /** False where it has its pid in another container, or in a namespace of its own. */
  readonly isHere: boolean;
}

/** The entry of this process in the register, until it is disposed of. */
export interface LiveRegistration extends Disposable {
  /** Adds or replaces facts. */
  update(facts: Partial<LiveFacts>): void;
  /** Resolves when all updates are in the register. */
  settled(): Promise<void>;
}

/** Options of {@linkcode registerLive}. */
export interface RegisterOptions {
  /** Its end is the beginning of an orderly stop. */
  readonly signal?: AbortSignal | undefined;
  /** Gets a sentence when the process can't be registered; it goes on all the same. */
  readonly onProblem?: (problem: string) => void;
  /** True where SIGTERM is a request to stop; by default where somebody takes such requests. */
  readonly stopsInOrder?: boolean;
  /** Folders of the register, of which the first that can be written is taken; this user's unless given. */
  readonly folders?: readonly string[];
}

/** Part of the runtime folder. */
const PART = "runs";
const OWNER_ONLY = 0o600;
/** The longest that a run waits for its registration: a file system may hang. */
const MAX_WAIT_MS = 3_000;

/**
 * Registers this process as one that runs something. A process that runs several things registers each.
 *
 * It never fails: whatever keeps the register from being written, the run goes on.
 */
export async function registerLive(
  facts: LiveFacts,
  options: RegisterOptions = {},
): Promise<LiveRegistration> {
  const registration = new Registration(facts, options);
  await waitAtMost(MAX_WAIT_MS, registration.opened);
  return registration;
}

/** As {@linkcode registerLive}, without waiting: the entry comes a moment later. */
export function beginLive(facts: LiveFacts, options: RegisterOptions = {}): LiveRegistration {
  return new Registration(facts, options);
}

class Registration implements LiveRegistration {
  readonly #facts: Record<string, unknown>;
  readonly #options: RegisterOptions;
  readonly #stack = new DisposableStack();
  #file: LiveFile | undefined;
  #isOver = false;
  /** Resolves when the entry is there, or can't be; never rejects. */
  readonly opened: Promise<void>;

  constructor(facts: LiveFacts, options: RegisterOptions) {
    this.#options = options;
    this.#facts = {
      version: 1,
      ...facts,
      pid: Deno.pid,
      parent: Deno.ppid,
      host: hostOrNothing(),
      since: new Date().toISOString(),
      stopsInOrder: options.stopsInOrder ?? stopsInOrder(),
      command: maskArguments(Deno.args),
    };
    const { signal } = options;
    const onStop = () => this.#set({ stopping: new Date().toISOString() });
    if (signal?.aborted) onStop();
    signal?.addEventListener("abort", onStop, { once: true });
    this.#stack.defer(() => signal?.removeEventListener("abort", onStop));
    this.opened = this.#open().catch((error) => options.onProblem?.(messageOf(error)));
  }

  async #open(): Promise<void> {
    const folders = (this.#options.folders ?? ownRuntimeFolders(PART)).filter(mayUse);
    if (folders.length === 0) return; // a program with few rights, or without a home: there is nothing to say
    Object.assign(this.#facts, await ownIdentity());
    const problems: string[] = [];
    for (const folder of folders) {
      if (this.#isOver) return;
      try {
        const name = `${Deno.pid}-${this.#facts.kind}-${crypto.randomUUID()}`;
        const options = { mode: OWNER_ONLY, makeFolder: makeOwnFolder };
        const file = await LiveFile.create(folder, name, this.#text(), options);
        if (this.#isOver) return file[Symbol.dispose]();
        this.#file = file;
        file.update(this.#text()); // with what came to be known meanwhile
        return await removeDeadFiles(folder);
      } catch (error) {
        problems.push(messageOf(error));
      }
    }
    this.#options.onProblem?.(
      `deno task ps can't list this run, as the register can't be written: ${problems.join("; ")}`,
    );
  }

  update(facts: Partial<LiveFacts>): void {
    this.#set(facts);
  }

  async settled(): Promise<void> {
    await this.#file?.settled();
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#stack.dispose();
    this.#file?.[Symbol.dispose]();
  }

  #set(facts: Record<string, unknown>): void {
    Object.assign(this.#facts, facts);
    this.#file?.update(this.#text());
  }

  #text(): string {
    return JSON.stringify(this.#facts) + "\n";
  }
}

/** Tells whether a program may write a folder without asking the user. */
function mayUse(path: string): boolean {
  return (["read", "write"] as const).every((name) =>
    Deno.permissions.querySync({ name, path }).state === "granted"
  );
}

function hostOrNothing(): string {
  try {
    return hostname();
  } catch {
    return ""; // the program may not ask
  }
}

/**
 * Reads the register.
 *
 * @param folders Folders of it; this user's unless given
 * @returns What goes on, in the order of its beginning
 */
export async function readLiveRuns(
  folders: readonly string[] = ownRuntimeFolders(PART),
): Promise<LiveRun[]> {
  const uid = ownUid();
  const files = (await Promise.all(folders.map((folder) => readLiveFiles(folder)))).flat()
    // Another user may have made a folder of this name in /tmp. To root, all may speak.
    .filter((file) => uid === undefined || uid === 0 || file.uid === null || file.uid === uid);
  if (files.length === 0) return [];
  const entries = files.map((file) => ({ file, facts: factsOf(file) }));
  const seen = await seeProcesses(entries.map(({ facts }) => facts.pid));
  const runs = await Promise.all(entries.map(async ({ file, facts }): Promise<LiveRun[]> => {
    // A lock is held by the process itself. Without locks, the process must be there, and be the same.
    if (!file.isCertain && !isSameProcess(facts, seen)) return [];
    const isHere = facts.namespace === undefined || seen.namespace === undefined ||
      facts.namespace === seen.namespace;
    return [{ ...facts, user: await userName(file.uid), file: file.path, isHere }];
  }));
  return runs.flat().sort((a, b) => a.since < b.since ? -1 : a.since > b.since ? 1 : a.pid - b.pid);
}

/** Returns the folders of the registers of other users that this user may read: for root, all of them. */
export async function foreignRegisters(): Promise<string[]> {
  const own = new Set(ownRuntimeFolders(PART));
  const found: string[] = [];
  if (hasChosenRuntime()) return found; // a world of its own
  try {
    for await (const { name } of Deno.readDir("/tmp")) {
      const folder = `/tmp/${name}/${PART}`;
      if (/^lockstep-\d+$/.test(name) && !own.has(folder)) found.push(folder);
    }
  } catch {
    // There is no /tmp.
  }
  return found;
}

/** Kinds for people. */
export const KIND_TITLES: Readonly<Record<LiveKind, string>> = {
  train: "run",
  compare: "comparison",
  evaluate: "evaluation",
  bench: "benchmark",
  worker: "host agent",
};

/** Tells whether the process of an entry still goes on with it. */
export async function isStillLive(run: LiveRun): Promise<boolean> {
  const found = await readLiveFile(run.file);
  return found !== undefined &&
    (found.isCertain || isSameProcess(run, await seeProcesses([run.pid])));
}

type Facts = Omit<LiveRun, "user" | "file" | "isHere">;

function factsOf({ text, name }: FoundFile): Facts {
  const parsed = fileSchema.safeParse(jsonOf(text));
  if (parsed.success) {
    const { version: _, ...facts } = parsed.data;
    return { ...facts, isBare: false };
  }
  // A full disk, or a later version: the name says the least that is needed.
  const [, pid = "0", kind = "train"] = /^(\d+)-([a-z]+)-/.exec(name) ?? [];
  return {
    kind: LIVE_KINDS.find((known) => known === kind) ?? "train",
    name: "",
    pid: Number(pid),
    parent: 0,
    host: hostOrNothing(),
    since: "",
    stopsInOrder: true,
    command: [],
    isBare: true,
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
