/**
 * Checks that must hold after each run of the soak test.
 *
 * @module
 */
import assert, { AssertionError } from "node:assert/strict";
import { join } from "node:path";
import { delay } from "../../src/base/async.ts";
import { EXIT_FAILED, EXIT_USAGE } from "../../src/base/errors.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { readHistory } from "../../src/records/history.ts";
import { runRecord } from "../../tests/support/run_record.ts";
import { holdersOf, namesOf, processesOf } from "./run_processes.ts";

/** An invariant that doesn't hold. */
export class Violation extends Error {
  override name = "Violation";
}

/** Longest text of a difference in a message. */
const MAX_DIFFERENCE = 3_000;

/** Seconds that processes get to end after the coordinator was killed: longer than the 10 s of an idle machine. */
const SECONDS_TO_END = 20;

/** The resources that a run may hold while it goes on. */
export interface Held {
  readonly mark: string;
  /** Port of its nats-server. */
  readonly port: number;
  /** Its shared memory, by inode. */
  readonly segments: readonly string[];
  /** The folder of its temporary files. */
  readonly temporary: string;
}

/**
 * Waits until nothing of a run is left: processes, shared memory, its port, temporary files.
 *
 * @returns Seconds until its processes had ended
 * @throws {Violation} when something is left
 */
export async function checkNothingLeft(
  { mark, port, segments, temporary }: Held,
  seconds = SECONDS_TO_END,
): Promise<number> {
  const start = performance.now();
  let left = await processesOf(mark);
  while (left.length > 0) {
    if (performance.now() - start > 1000 * seconds) {
      const lines = left.map(({ pid, commandLine }) => `${pid}: ${commandLine}`);
      throw new Violation(`Still running after ${seconds} s:\n${lines.join("\n")}`);
    }
    await delay(100);
    left = await processesOf(mark);
  }
  const took = (performance.now() - start) / 1000;
  const holders = await holdersOf(segments);
  if (holders.length > 0) {
    throw new Violation(`The run's shared memory is still mapped by ${holders.join(", ")}`);
  }
  const named = await namesOf(segments);
  if (named.length > 0) throw new Violation(`/dev/shm has ${named.join(", ")}`);
  if (await answers(port)) throw new Violation(`Port ${port} of the run's server still listens`);
  const files = await namesIn(temporary);
  if (files.length > 0) throw new Violation(`Temporary files are left: ${files.join(", ")}`);
  return took;
}

/** Tells whether something accepts connections at a port of 127.0.0.1. */
async function answers(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
}

/**
 * Checks that each checkpoint of a run folder can be read whole.
 *
 * @throws {Violation} when one can't
 */
export async function checkCheckpoints(folder: string): Promise<void> {
  const checkpoints = join(folder, "checkpoints");
  let names: string[];
  try {
    names = await namesIn(checkpoints);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return; // stopped before the first one
    throw error;
  }
  for (const name of names.filter((name) => /^(last|best)(-\d+)?$/.test(name))) {
    try {
      await readCheckpoint(join(checkpoints, name));
    } catch (error) {
      throw new Violation(`Checkpoint ${name} can't be read: ${error}`);
    }
  }
}

/**
 * Checks a finished run's folder: no lock and no half-written file is left, and the record equals that of the
 * undisturbed run.
 *
 * @param expected Record of the undisturbed run; without its files where a fault may cost some of these
 * @throws {Violation} when they differ
 */
export async function checkFinished(folder: string, expected: FinishedRecord): Promise<void> {
  await checkCheckpoints(folder);
  const names = [...await namesIn(folder), ...await namesIn(join(folder, "checkpoints"))];
  const odd = names.filter((name) => name === ".lock" || name.includes(".tmp"));
  if (odd.length > 0) throw new Violation(`The run folder has ${odd.join(", ")}`);
  const record = expected.files === undefined
    ? { state: await stateOf(folder) }
    : await finishedRecord(folder);
  try {
    assert.deepEqual(record, expected);
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error;
    throw new Violation(
      `The result differs from the undisturbed run's:\n${error.message.slice(0, MAX_DIFFERENCE)}`,
    );
  }
}

/** Largest difference of two losses whose sums were made by other numbers of ranks. */
const MAX_LOSS_DIFFERENCE = 0.02;

/**
 * Checks a finished run in which ranks were left out: its history has the places and counts of the undisturbed one's,
 * without a gap, and its losses up to the order of floating-point sums.
 *
 * @throws {Violation} when they differ
 */
export async function checkSimilar(folder: string, expected: FinishedRecord): Promise<void> {
  await checkCheckpoints(folder);
  const { epochs, history, last } = await stateOf(folder);
  const { state } = expected;
  for (
    const [name, one, other] of [
      ["epochs", epochs, state.epochs],
      ["losses", history.losses, state.history.losses],
      ["validations", history.validations, state.history.validations],
    ] as const
  ) {
    const difference = differenceOf(one, other);
    if (difference) throw new Violation(`The history's ${name} differ: ${difference}`);
  }
  const { epoch, step } = last;
  if (epoch !== state.last.epoch || step !== state.last.step) {
    throw new Violation(`The last checkpoint is of epoch ${epoch}, step ${step}`);
  }
}

/** Describes the first difference of two lists of points beyond what other sums and other guesses make. */
function differenceOf(one: unknown, other: unknown, path = ""): string | undefined {
  if (typeof one === "object" && one !== null && typeof other === "object" && other !== null) {
    const [a, b] = [one, other] as Record<string, unknown>[];
    const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
    for (const key of keys) {
      const difference = differenceOf(a[key], b[key], path === "" ? key : `${path}.${key}`);
      if (difference) return difference;
    }
    return undefined;
  }
  const isMeasured = /loss$|accuracy$/.test(path);
  const tolerance = path.endsWith("accuracy") ? 0.2 : MAX_LOSS_DIFFERENCE;
  const isEqual = isMeasured ? Math.abs(Number(one) - Number(other)) <= tolerance : one === other;
  return isEqual ? undefined : `${path} is ${one}, in the undisturbed run ${other}`;
}

/** The record of a finished run folder, without what may differ: times, and recoveries. */
export interface FinishedRecord {
  /** Weights, optimizer state and history. */
  readonly state: Awaited<ReturnType<typeof stateOf>>;
  /** Tables, events, pictures and logs. */
  readonly files?: unknown;
}

/** Reads a finished run folder whole. */
export async function finishedRecord(folder: string): Promise<FinishedRecord> {
  const { curves: _, losses: __, history: ___, tensorboard, ...files } = await runRecord(folder);
  const points = tensorboard.filter(([, tag]) => !/^recovery(\/|$)/.test(tag));
  return { state: await stateOf(folder), files: { ...files, points } };
}

async function stateOf(folder: string) {
  const { config: _, recoveries: __, epochs, ...history } = await readHistory(folder);
  const infoOf = async (name: string) => {
    const { info: { sha256, epoch, step } } = await readCheckpoint(
      join(folder, "checkpoints", name),
    );
    return { sha256, epoch, step };
  };
  return {
    ...{ last: await infoOf("last"), best: await infoOf("best"), history },
    epochs: epochs.map(({ seconds: _, imagesPerSecond: __, ...record }) => record),
  };
}

/**
 * Checks how the coordinator ended: with one of the codes that its faults allow, and with a sentence.
 *
 * @param codes Codes beside 0
 * @throws {Violation} when it ended in another way
 */
export function checkEnd(
  { code, stdout, stderr }: { code: number; stdout: string; stderr: string },
  codes: readonly number[],
): void {
  const output = `${stdout}${stderr}`.slice(-MAX_DIFFERENCE);
  if (code !== 0 && !codes.includes(code)) {
    throw new Violation(`The exit code is ${code}, allowed are ${[0, ...codes]}:\n${output}`);
  }
  if (/^ {4}at |panicked|stack trace|Uncaught/m.test(stderr)) {
    throw new Violation(`The output has a stack trace:\n${output}`);
  }
  if ([EXIT_FAILED, EXIT_USAGE].includes(code) && !/^error: \S/m.test(stderr)) {
    throw new Violation(`The run ended with code ${code} and no sentence:\n${output}`);
  }
}
