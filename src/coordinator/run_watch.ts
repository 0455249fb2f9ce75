/**
 * The records of a run in progress, beside the terminal: points to the loggers, lines to `run.log`,
 * and its position to `live.json`.
 *
 * @module
 */
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { readRegularFile } from "../base/regular_file.ts";
import type { RankReport } from "../exchange/gradient_exchange.ts";
import type { LoggerStart } from "../loggers/logger.ts";
import { LoggerSet, type NamedLogger } from "../loggers/logger_set.ts";
import { openMetricsLogger } from "../loggers/metrics_logger.ts";
import { type LiveStatus, removeLiveStatus, writeLiveStatus } from "../records/live_status.ts";
import { RunLog } from "../records/run_log.ts";
import { BestEffort } from "../events/best_effort.ts";
import type { Phase, PhaseProgress, Reporter } from "../events/reporter.ts";
import type { PendingSums } from "../checkpoint/checkpoint.ts";
import type { EpochTotals } from "./epochs.ts";
import { GpuWatch } from "./gpu_use.ts";
import type { WorkerHeartbeat } from "../cluster/heartbeat_monitor.ts";
import type { RefusedMessages } from "../cluster/refused_messages.ts";
import { recordingReporter } from "./recording_reporter.ts";
import { type PointHeader, StepMeter } from "./step_meter.ts";

const LIVE_MS = 1_000;

/** Returns the last heartbeats of the workers. */
export type ReadHeartbeats = () => readonly WorkerHeartbeat[];

/** Watches a run from its beginning to its end. */
export class RunWatch implements AsyncDisposable {
  /** Passes on to the reporter that was given. */
  readonly reporter: Reporter;
  /** The loggers that keep the numbers. */
  readonly loggers: LoggerSet;
  readonly #log = new RunLog();
  readonly #effort = new BestEffort((line) => this.reporter.warn(line));
  readonly #meter: StepMeter;
  readonly #stack = new AsyncDisposableStack();
  readonly #since = new Date().toISOString();
  #folder: string | undefined;
  #signs: ReadHeartbeats = () => [];
  #refused: () => RefusedMessages | undefined = () => undefined;
  #gpus: GpuWatch | undefined;
  #phase: Phase | undefined;
  #phaseStart = 0;
  #done = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(reporter: Reporter, workers: number) {
    this.reporter = recordingReporter(reporter, this.#log, {
      onPhase: (phase) => this.#onPhase(phase),
      onProgress: (progress) => this.#onProgress(progress),
    });
    this.loggers = new LoggerSet((line) => this.reporter.warn(line));
    this.#meter = new StepMeter(workers);
  }

  /** Starts the records in the run folder; events from now on go there. */
  async open(start: LoggerStart, loggers: readonly NamedLogger[] = []): Promise<void> {
    const { folder, config, stepsPerEpoch } = start;
    this.#effort.attemptNow("run.log", () => this.#log.open(folder));
    this.#stack.use(this.#log);
    this.#gpus = this.#stack.use(GpuWatch.start());
    this.#folder = folder;
    const own = {
      name: "metrics",
      open: (start: LoggerStart) => openMetricsLogger(start, (line) => this.reporter.warn(line)),
    };
    await this.loggers.open([own, ...loggers], start);
    this.#stack.defer(() => this.loggers.close());
    const { epochs } = config.train as { epochs: number };
    const tick = () => this.#writeLive(folder, { epochs, stepsPerEpoch });
    tick();
    const timer = setInterval(tick, LIVE_MS);
    this.#stack.defer(async () => {
      clearInterval(timer);
      await this.#writing;
      await removeLiveStatus(folder);
    });
  }

  /** Listens to the workers once they have joined. */
  listenTo(signs: ReadHeartbeats, refused: () => RefusedMessages): void {
    this.#signs = signs;
    this.#refused = refused;
  }

  /** Training begins, or goes on after a validation. */
  begin(): void {
    this.#meter.begin();
  }

  /** Sums since the last point, for a checkpoint; nothing when there are none. */
  get pending(): PendingSums | undefined {
    return this.#meter.pending;
  }

  /** The run goes on from a checkpoint. */
  restore(pending: PendingSums): void {
    this.#meter.restore(pending);
  }

  /** A step was made. */
  step(sums: EpochTotals, ranks: readonly RankReport[]): void {
    this.#meter.add(sums, ranks);
  }

  /** The steps since the last point make a point. */
  point(place: PointHeader): void {
    const gpus = this.#gpus?.use ?? [];
    const point = this.#meter.take(place, gpus.length > 0 ? { gpus } : {});
    if (!point) return;
    const memory = new Map(this.#signs().map(({ rank, residentBytes }) => [rank, residentBytes]));
    const ranks = point.ranks.map((own) => {
      const residentBytes = memory.get(own.rank);
      return residentBytes === undefined ? own : { ...own, residentBytes };
    });
    this.loggers.metrics({ ...point, ranks });
  }

  /** A picture of the run folder, `<name>.png`, is new. */
  async image(name: string, step: number): Promise<void> {
    if (!this.loggers.takesPictures) return;
    const path = join(this.#folder!, `${name}.png`);
    if (!await exists(path)) return; // none of its images could be read
    this.loggers.picture(name, await readRegularFile(path), step);
  }

  /** The run has failed. */
  failed(error: unknown): void {
    this.#log.append("error", messageOf(error));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #onPhase(phase: Phase): void {
    this.#phase = phase;
    this.#phaseStart = performance.now();
    this.#done = phase.done ?? 0;
  }

  #onProgress({ done }: PhaseProgress): void {
    this.#done = done;
  }

  #writeLive(folder: string, { epochs, stepsPerEpoch }: { epochs: number; stepsPerEpoch: number }) {
    const phase = this.#phase;
    const seconds = (performance.now() - this.#phaseStart) / 1000;
    const made = this.#done - (phase?.done ?? 0);
    const status: LiveStatus = {
      time: new Date().toISOString(),
      pid: Deno.pid,
      residentBytes: Deno.memoryUsage().rss,
      since: this.#since,
      phase: phase?.name ?? "starting",
      epoch: phase?.epoch ?? 0,
      epochs,
      stepsPerEpoch,
      total: phase?.total ?? 0,
      done: this.#done,
      ...(made > 0 && seconds > 0 ? { imagesPerSecond: made / seconds } : {}),
      workers: this.#signs().map((sign) => ({ ...sign })),
      ...(this.#refused() ? { refused: { ...this.#refused() } } : {}),
      gpus: this.#gpus?.use ?? [],
    };
    // A disk that is full for a moment is no reason to end a run, nor to warn each second.
    this.#writing = this.#writing.then(() => writeLiveStatus(folder, status)).catch(() => {});
  }
}
