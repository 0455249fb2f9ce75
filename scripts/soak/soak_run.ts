/**
 * One run of the soak test: started, disturbed, resumed until it is complete, and compared with the undisturbed run.
 *
 * @module
 */
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { delay, within } from "../../src/base/async.ts";
import { EXIT_USAGE } from "../../src/base/errors.ts";
import { exists } from "../../src/base/paths.ts";
import { TRUSTED_VARIABLE } from "../../src/base/trust.ts";
import { type LoggedEvent, readEvents } from "../../src/records/event_log.ts";
import { mountSmallDisk, type SmallDisk } from "../../tests/support/small_disk.ts";
import { startProcess, type TrainProcess } from "../../tests/support/tiny_run.ts";
import {
  checkCheckpoints,
  checkEnd,
  checkFinished,
  checkNothingLeft,
  checkSimilar,
  type FinishedRecord,
  finishedRecord,
  Violation,
} from "./invariants.ts";
import { configOf, type Recipe, writeInputs } from "./recipes.ts";
import { processesOf, RUN_VARIABLE, segmentsOf, sendSignal } from "./run_processes.ts";
import type { Moment, Scenario, TimedFault } from "./scenario.ts";
import { TRAIN_COMMAND } from "./train_command.ts";

/** MiB of a small disk: three times what the largest run folder takes. */
const DISK_MEBIBYTES = 48;
/** Seconds after which a round hangs. */
const MAX_ROUND_SECONDS = 180;
/** Rounds without a fault that a run may need to be complete. */
const MAX_CALM_ROUNDS = 2;

/** The outcome of one fault. */
export interface FaultResult {
  readonly kind: string;
  /** True when there was something to do it to. */
  readonly applied: boolean;
  /** Exit code of the round that it was in. */
  readonly code: number;
  /** Seconds until the run wrote of it, where it did. */
  readonly noticed?: number;
  /** Seconds of the recoveries in its round. */
  readonly recoveries: readonly number[];
  /** Seconds from the end of the coordinator to that of the last process. */
  readonly secondsToEnd: number;
}

/** The outcome of one run. */
export interface SoakResult {
  readonly faults: readonly FaultResult[];
  readonly codes: readonly number[];
  readonly seconds: number;
}

/** The inputs that the runs of a soak test share, and the records of undisturbed runs. */
export class SoakStand {
  readonly folder: string;
  readonly #expected = new Map<Recipe, Promise<FinishedRecord>>();

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Makes the inputs in an empty folder. */
  static async make(folder: string): Promise<SoakStand> {
    await writeInputs(folder);
    return new SoakStand(folder);
  }

  /** The record of the undisturbed run of a recipe, which is made when it is first asked for. */
  expected(recipe: Recipe): Promise<FinishedRecord> {
    let record = this.#expected.get(recipe);
    if (!record) this.#expected.set(recipe, record = this.#train(recipe));
    return record;
  }

  async #train(recipe: Recipe): Promise<FinishedRecord> {
    const folder = join(this.folder, `undisturbed-${this.#expected.size}`);
    await Deno.mkdir(folder);
    const place = await SoakPlace.make(folder, this.folder, recipe);
    const { code, stdout, stderr } = await place.start([]).result;
    if (code !== 0) throw new Error(`The undisturbed run failed:\n${stdout}${stderr}`);
    return await finishedRecord(await place.runFolder() ?? folder);
  }

  /**
   * Does one run.
   *
   * @throws {Violation} when an invariant doesn't hold; the run's folder stays
   */
  async run(scenario: Scenario): Promise<SoakResult> {
    const start = performance.now();
    const expected = await this.expected(scenario.recipe);
    const folder = join(this.folder, `run-${scenario.index}`);
    await Deno.mkdir(folder);
    await using disk = scenario.needsDisk
      ? await mountSmallDisk(folder, DISK_MEBIBYTES)
      : undefined;
    const { recipe, policy } = scenario;
    const place = await SoakPlace.make(folder, this.folder, recipe, { policy, disk });
    const faults: FaultResult[] = [];
    const codes: number[] = [];
    const rounds = [...scenario.rounds];
    for (let calm = 0; calm <= MAX_CALM_ROUNDS;) {
      const round = rounds.shift();
      if (!round) calm++;
      const { code, results } = await doRound(place, round ?? []);
      codes.push(code);
      faults.push(...results);
      if (code === EXIT_USAGE || (code === 0 && await place.isOver())) {
        const check = scenario.policy === "shrink" ? checkSimilar : checkFinished;
        const { state, ...files } = expected;
        // Tables and pictures that a full disk refused are not written a second time.
        const required = scenario.needsDisk ? { state } : { state, ...files };
        await check(await place.runFolder() ?? folder, required);
        await disk?.[Symbol.asyncDispose]();
        await Deno.remove(folder, { recursive: true });
        return { faults, codes, seconds: (performance.now() - start) / 1000 };
      }
    }
    throw new Violation(`The run isn't complete after exit codes ${codes.join(", ")}`);
  }
}

/** The files and settings of one run. */
class SoakPlace {
  readonly mark = crypto.randomUUID();
  readonly port = freePort();
  readonly temporary: string;
  readonly out: string;

  private constructor(
    readonly folder: string,
    readonly disk: SmallDisk | undefined,
  ) {
    this.temporary = join(folder, "tmp");
    this.out = join(disk?.folder ?? folder, "runs");
  }

  /** Copies the inputs, so that a fault may take them away, and writes the config. */
  static async make(
    folder: string,
    inputs: string,
    recipe: Recipe,
    { policy, disk }: { policy?: Scenario["policy"]; disk?: SmallDisk | undefined } = {},
  ): Promise<SoakPlace> {
    const place = new SoakPlace(folder, disk);
    const names = ["images", "long_model.ts"].map((name) => join(inputs, name));
    await new Deno.Command("cp", { args: ["-a", ...names, folder] }).output();
    await Deno.mkdir(place.temporary);
    const config = configOf(recipe, folder, {
      out: place.out,
      nats: { port: place.port },
      liveness: { lostAfter: 6 },
      maxRestarts: 100,
      ...(policy ? { onWorkerLost: policy } : {}),
    });
    await Deno.writeTextFile(join(folder, "config.yaml"), stringify(config));
    return place;
  }

  /** Starts the run, or resumes it, in a process group of its own and with the permissions of its task. */
  start(faults: readonly TimedFault[], resume?: string): TrainProcess {
    const args = resume ? ["--resume", resume] : ["--config", join(this.folder, "config.yaml")];
    return startProcess([...TRAIN_COMMAND, ...args], {
      cwd: this.folder,
      detached: true,
      env: {
        TMPDIR: this.temporary,
        [RUN_VARIABLE]: this.mark,
        [TRUSTED_VARIABLE]: join(this.folder, "trusted"),
        ...Object.assign({}, ...faults.map(({ env }) => env ?? {})),
      },
    });
  }

  /** The run folder; nothing where none has a config yet. */
  async runFolder(): Promise<string | undefined> {
    const folders: string[] = [];
    try {
      for await (const { name, isDirectory } of Deno.readDir(this.out)) {
        if (isDirectory && await exists(join(this.out, name, "config.yaml"))) folders.push(name);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    const newest = folders.sort().at(-1);
    return newest === undefined ? undefined : join(this.out, newest);
  }

  async events(): Promise<LoggedEvent[]> {
    const folder = await this.runFolder();
    if (folder === undefined) return [];
    return await readEvents(folder).catch(() => []); // it isn't written yet
  }

  /** Tells whether the run has nothing left to do. */
  async isOver(): Promise<boolean> {
    return ["finished", "report"].includes((await this.events()).at(-1)?.type ?? "");
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

/** Starts or resumes a run, does faults to it, and checks how it ends. */
async function doRound(
  place: SoakPlace,
  faults: readonly TimedFault[],
): Promise<{ code: number; results: FaultResult[] }> {
  const resume = await place.runFolder();
  const before = await place.events();
  const process = place.start(faults, resume);
  const notes: string[] = [];
  let hasEnded = false;
  const ended = process.result.finally(() => hasEnded = true);
  const done = await Promise.all(faults.map(async (fault) => {
    await waitFor(fault.moment, place, before, () => hasEnded);
    const time = Date.now();
    if (hasEnded || !fault.apply) return { fault, time, applied: false, segments: [] };
    const segments = await segmentsOf((await processesOf(place.mark)).map(({ pid }) => pid));
    const note = (line: string) => void notes.push(line);
    const images = join(place.folder, "images");
    const target = { ...place, pid: process.pid, images, ended, note };
    return { fault, time: Date.now(), applied: await fault.apply(target), segments };
  }));
  const result = await within(
    ended,
    1000 * MAX_ROUND_SECONDS,
    () => new Violation(`The round hangs (${notes.join(", ")}):\n${process.output()}`),
  ).catch((error) => {
    sendSignal(-process.pid, "SIGKILL");
    throw error;
  });
  const secondsToEnd = await checkNothingLeft({
    ...{ mark: place.mark, port: place.port, temporary: place.temporary },
    segments: done.flatMap(({ segments }) => segments),
  });
  const isOver = result.stderr.includes("nothing is left to resume");
  checkEnd(result, [
    ...faults.flatMap(({ codes, codesAtStart = [], moment }) =>
      moment.after === "start" ? [...codes, ...codesAtStart] : codes
    ),
    ...isOver ? [EXIT_USAGE] : [],
  ]);
  const folder = await place.runFolder();
  if (folder !== undefined) await checkCheckpoints(folder);
  const events = (await place.events()).slice(before.length);
  const recoveries = events.filter(({ type }) => type === "recovery")
    .map(({ seconds }) => Number(seconds));
  const results = done.map(({ fault, time, applied }, index) => ({
    kind: fault.kind,
    applied: applied || (fault.env !== undefined && isNoticed(events)),
    code: result.code,
    ...noticedAfter(events, applied ? time : undefined),
    recoveries: index === 0 ? recoveries : [],
    secondsToEnd,
  }));
  return { code: result.code, results };
}

/** Types of events by which a run shows that it knows of a fault. */
const NOTICES = ["workersLost", "failed", "interrupted"];

function isNoticed(events: readonly LoggedEvent[]): boolean {
  return events.some(({ type }) => NOTICES.includes(type));
}

function noticedAfter(events: readonly LoggedEvent[], time: number | undefined) {
  const notice = events.find((event) =>
    time !== undefined && NOTICES.includes(event.type) && Date.parse(event.time) >= time - 50
  );
  return notice ? { noticed: (Date.parse(notice.time) - time!) / 1000 } : {};
}

/** Waits for the time of a fault, or for the end of the process. */
async function waitFor(
  moment: Moment,
  place: SoakPlace,
  before: readonly LoggedEvent[],
  hasEnded: () => boolean,
): Promise<void> {
  if (moment.after === "epochs") {
    const [type, count] = moment.epochs === 0 ? ["devices", 1] : ["epoch", moment.epochs];
    const isThere = async () => {
      const events = (await place.events()).slice(before.length);
      return events.filter((event) => event.type === type).length >= count;
    };
    while (!hasEnded() && !await isThere()) await delay(20);
  }
  const end = performance.now() + moment.ms;
  while (!hasEnded() && performance.now() < end) {
    await delay(Math.min(20, Math.max(1, end - performance.now())));
  }
}
