/**
 * Run folders made by hand, for tests of what reads them.
 *
 * @module
 */
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { EventLog } from "../../src/records/event_log.ts";
import { writeLiveStatus } from "../../src/records/live_status.ts";
import type { LiveStatus } from "../../src/records/live_status.ts";
import { MetricsLog, type MetricsPoint } from "../../src/records/metrics_log.ts";
import type { RecoveryRecord } from "../../src/records/recovery_record.ts";
import { RunLog } from "../../src/records/run_log.ts";

/** Images and steps of an epoch of a made run. */
export const MADE = { samples: 40, steps: 10 };

/** A point with plausible numbers. */
export function madePoint(epoch: number, step: number, workers = 2): MetricsPoint {
  const ms = { data: 1, forwardBackward: 20, exchange: 3, update: 2 };
  const ranks = Array.from({ length: workers }, (_, rank) => ({
    rank,
    samples: 4,
    imagesPerSecond: 60,
    ms: { ...ms, forwardBackward: 20 + 10 * rank, exchange: 13 - 10 * rank },
    residentBytes: 4e8,
  }));
  const place = epoch - 1 + step / MADE.steps;
  return {
    time: new Date(1.8e12 + 1000 * place).toISOString(),
    epoch,
    step,
    examples: Math.round(MADE.samples * place),
    loss: 1.4 / (1 + place),
    accuracy: 1 - 0.7 / (1 + place),
    learningRate: 0.01,
    imagesPerSecond: 60 * workers,
    ms: { data: 1, forwardBackward: 25, exchange: 3, idle: 5, update: 2, total: 36 },
    ranks,
  };
}

/** An `epoch` event. */
export function madeEpoch(epoch: number, accuracy = 1 - 0.5 / epoch) {
  return {
    epoch,
    learningRate: 0.01,
    train: { loss: 1 / epoch, accuracy: 1 - 0.6 / epoch },
    validation: { loss: 1.1 / epoch, accuracy, count: 12 },
    seconds: 3.5,
    imagesPerSecond: 120,
  };
}

/** A recovery in an epoch, with plausible numbers. */
export function madeRecovery(epoch = 2): RecoveryRecord {
  return {
    time: new Date(1.8e12 + 1000 * epoch).toISOString(),
    epoch,
    step: 3,
    policy: "restart",
    ranks: [1],
    reasons: ["Rank 1 (pid 2001) was ended by SIGKILL"],
    workers: 2,
    seconds: 1.25,
  };
}

/** Events of a worker that was killed and started again, and of two of three that the run went on without. */
export const MADE_LOSSES: readonly (readonly [type: string, fields: Record<string, unknown>])[] = [
  ["workersLost", {
    ...{ generation: 0, epoch: 1, step: 6, during: "training" },
    workers: [{
      ...{ rank: 1, pid: 2001, host: "here" },
      reason: "Rank 1 (pid 2001) was ended by SIGKILL in epoch 1, step 6",
    }],
  }],
  ["recovery", {
    ...{ generation: 1, policy: "restart", epoch: 1, step: 6, ranks: [1], workers: 3 },
    ...{ restarts: 1, seconds: 1.25, reasons: ["Rank 1 (pid 2001) was ended by SIGKILL"] },
  }],
  ["workersLost", {
    ...{ generation: 1, epoch: 2, step: 10, during: "validation" },
    workers: [{
      ...{ rank: 0, pid: 2000, host: "here", device: "GPU 0 (NVIDIA L4, GPU-4ab1)" },
      reason:
        "Rank 0 (pid 2000) exited with code 1 in the validation in epoch 2; its last lines:\n" +
        "  | <img src=x onerror=alert(1)> is no image",
    }],
  }],
  ["workersLost", {
    ...{ generation: 1, epoch: 2, step: 10, during: "validation" },
    workers: [{ rank: 2, pid: 2002, host: "there", reason: "Rank 2 has been silent for 20 s" }],
  }],
  ["recovery", {
    ...{ generation: 2, policy: "shrink", epoch: 2, step: 10, ranks: [0, 2], workers: 1 },
    ...{ restarts: 1, seconds: 6.5 },
  }],
];

/** The content of a `live.json` of now. */
export function madeStatus(changes: Partial<LiveStatus> = {}): LiveStatus {
  return {
    time: new Date().toISOString(),
    pid: 1234,
    residentBytes: 3e8,
    since: new Date().toISOString(),
    phase: "train",
    epoch: 3,
    epochs: 5,
    stepsPerEpoch: MADE.steps,
    total: MADE.samples,
    done: 20,
    imagesPerSecond: 118,
    workers: [0, 1].map((rank) => ({
      rank,
      pid: 2000 + rank,
      host: "somewhere",
      activity: "trainEpoch",
      epoch: 3,
      step: 5,
      residentBytes: 4e8,
      silentMs: 400,
    })),
    gpus: [],
    ...changes,
  };
}

/**
 * Writes a run's status again and again: without, it counts as lost after some seconds, which a browser's test may take.
 *
 * @param status Returns the status of now; the last one is written before the result is disposed of
 */
export function keepLive(run: string, status: () => LiveStatus): AsyncDisposable {
  let writing = Promise.resolve();
  const timer = setInterval(() => {
    writing = writing.then(() =>
      writeLiveStatus(run, { ...status(), time: new Date().toISOString() })
    );
  }, 1_000);
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await writing;
    },
  };
}

/** The properties of a made run. */
export interface MadeRun {
  readonly name?: string;
  readonly epochs?: number;
  /** Last event; `running` has a fresh `live.json` instead. */
  readonly end?: "finished" | "failed" | "interrupted" | "running" | "killed";
  readonly message?: string;
  readonly config?: Record<string, unknown>;
  readonly log?: readonly string[];
  /** True for a run with {@linkcode MADE_LOSSES}. */
  readonly losses?: boolean;
}

/** Makes `<runs>/<id>/` with config, events, metrics and log. */
export async function makeRun(runs: string, id: string, run: MadeRun = {}): Promise<string> {
  const folder = join(runs, id);
  await Deno.mkdir(folder, { recursive: true });
  const config = {
    name: run.name ?? "made",
    workers: 2,
    model: { name: "plain_cnn" },
    train: { epochs: 5, lr: 0.01 },
    ...run.config,
  };
  await Deno.writeTextFile(join(folder, "config.yaml"), stringify(config));
  using events = new EventLog(folder);
  using metrics = await MetricsLog.open(folder, { epoch: 1, step: 0 });
  using log = new RunLog();
  log.open(folder);
  for (const line of run.log ?? ["Data: 40 training images"]) log.append("info", line);
  events.append("started", { epoch: 1, step: 0 });
  for (let epoch = 1; epoch <= (run.epochs ?? 2); epoch++) {
    for (let step = 2; step <= MADE.steps; step += 2) metrics.append(madePoint(epoch, step));
    events.append("epoch", madeEpoch(epoch));
  }
  if (run.losses) { for (const [type, fields] of MADE_LOSSES) events.append(type, fields); }
  const { end = "finished", message } = run;
  if (end === "running") await writeLiveStatus(folder, madeStatus());
  else if (end !== "killed") events.append(end, message === undefined ? {} : { message });
  return folder;
}
