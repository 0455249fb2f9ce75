/**
 * The measurements of a run in progress: summarizes steps as points of training, and writes the position to
 * `live.json`.
 *
 * @module
 */
import type { OpenedDevice } from "../../base/compute_device.ts";
import { given } from "../../base/given.ts";
import type { RankReport } from "../../exchange/gradient_exchange.ts";
import { type LiveStatus, removeLiveStatus, writeLiveStatus } from "../../records/live_status.ts";
import type { Phase } from "../../events/reporter.ts";
import type { RunEvent, RunEvents, RunListener } from "../../events/run_events.ts";
import type { PendingSums } from "../../checkpoint/checkpoint.ts";
import type { EpochTotals } from "../epochs/drive_epoch.ts";
import { GpuWatch } from "./gpu_use.ts";
import type { WorkerHeartbeat } from "../../cluster/heartbeat_monitor.ts";
import type { RefusedMessages } from "../../cluster/refused_messages.ts";
import { type PointHeader, StepMeter } from "./step_meter.ts";

const LIVE_MS = 1_000;

/** Returns the last heartbeats of the workers. */
export type ReadHeartbeats = () => readonly WorkerHeartbeat[];

/** Measures a run from its beginning to its end. */
export class RunWatch implements RunListener, AsyncDisposable {
  readonly name = "live.json";
  readonly #events: Pick<RunEvents, "emit">;
  readonly #meter: StepMeter;
  readonly #stack = new AsyncDisposableStack();
  readonly #since = new Date().toISOString();
  #heartbeats: ReadHeartbeats = () => [];
  #refused: () => RefusedMessages | undefined = () => undefined;
  #gpus: GpuWatch | undefined;
  /** By rank; empty until the workers have opened them. */
  #devices: readonly OpenedDevice[] = [];
  #phase: Phase | undefined;
  #phaseStart = 0;
  #done = 0;
  #recoveries = 0;
  #recovering: LiveStatus["recovering"];
  #writing: Promise<void> = Promise.resolve();

  /** @param events Gets the points of training */
  constructor(workers: number, events: Pick<RunEvents, "emit">) {
    this.#events = events;
    this.#meter = new StepMeter(workers);
  }

  /** Starts writing the position into the run folder. */
  open(folder: string, run: { readonly epochs: number; readonly stepsPerEpoch: number }): void {
    this.#gpus = this.#stack.use(GpuWatch.start());
    const tick = () => this.#writeLive(folder, run);
    tick();
    const timer = setInterval(tick, LIVE_MS);
    this.#stack.defer(async () => {
      clearInterval(timer);
      await this.#writing;
      await removeLiveStatus(folder);
    });
  }

  hear(event: RunEvent): void {
    if (event.type === "phase") {
      this.#phase = event.phase;
      this.#phaseStart = performance.now();
      this.#done = event.phase.done ?? 0;
    } else if (event.type === "progress") {
      this.#done = event.progress.done;
    } else if (event.type === "devices") {
      this.#devices = event.devices;
    } else if (event.type === "workersLost") {
      const { since = new Date().toISOString(), ranks = [] } = this.#recovering ?? {};
      this.#recovering = { since, ranks: [...ranks, ...event.workers.map(({ rank }) => rank)] };
    } else if (event.type === "recovery") {
      this.#onRecovery(event);
    }
  }

  #onRecovery({ policy, ranks }: RunEvent & { type: "recovery" }): void {
    this.#recovering = undefined;
    this.#recoveries++;
    if (policy !== "shrink") return;
    this.#devices = this.#devices.filter((_, rank) => !ranks.includes(rank));
  }

  /** Starts listening to the workers, once they have joined. */
  listenTo(heartbeats: ReadHeartbeats, refused: () => RefusedMessages): void {
    this.#heartbeats = heartbeats;
    this.#refused = refused;
  }

  /** Called when training begins or continues after a validation. */
  begin(): void {
    this.#meter.begin();
  }

  /** Sums since the last point, for a checkpoint; `undefined` when there are none. */
  get pending(): PendingSums | undefined {
    return this.#meter.pending;
  }

  /** Called when the run resumes from a checkpoint. */
  restore(pending: PendingSums): void {
    this.#meter.restore(pending);
  }

  /** Called after each step. */
  step(sums: EpochTotals, ranks: readonly RankReport[]): void {
    this.#meter.add(sums, ranks);
  }

  /** Makes a point of the steps since the last point. */
  point(place: PointHeader): void {
    const gpus = this.#gpus?.use ?? [];
    const point = this.#meter.take(place, gpus.length > 0 ? { gpus } : {});
    if (!point) return;
    const memory = new Map(
      this.#heartbeats().map(({ rank, residentBytes }) => [rank, residentBytes]),
    );
    const ranks = point.ranks.map((own) => {
      const residentBytes = memory.get(own.rank);
      return residentBytes === undefined ? own : { ...own, residentBytes };
    });
    this.#events.emit({ type: "metrics", point: { ...point, ranks } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #gpuOf(rank: number): { index: number; name: string } | undefined {
    const { index, name } = this.#devices[rank] ?? {};
    return index === undefined || name === undefined ? undefined : { index, name };
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
      workers: this.#heartbeats().map((heartbeat) => ({
        ...heartbeat,
        ...given("gpu", this.#gpuOf(heartbeat.rank)),
      })),
      recoveries: this.#recoveries,
      ...given("recovering", this.#recovering),
      ...(this.#refused() ? { refused: { ...this.#refused() } } : {}),
      gpus: this.#gpus?.use ?? [],
    };
    // A temporarily full disk must neither end the run nor cause a warning every second.
    this.#writing = this.#writing.then(() => writeLiveStatus(folder, status)).catch(() => {});
  }
}
