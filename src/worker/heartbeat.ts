/**
 * A worker's heartbeats, and its eye on the coordinator's.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { HeartbeatSender } from "../protocol/heartbeat_sender.ts";
import type { Link } from "../protocol/link.ts";
import { ServerWatch } from "../protocol/server_watch.ts";
import { SilenceTimer } from "../protocol/silence_timer.ts";
import type { StepPhase } from "../protocol/step_phases.ts";
import type { WorkerSettings } from "../protocol/worker_settings.ts";

/** The heartbeat of a worker in a run. */
export interface Heartbeat {
  /**
   * Fires with a {@linkcode LockstepError} when the coordinator has been silent for too long, or the server refuses the
   * heartbeats.
   */
  readonly coordinatorLost: AbortSignal;
  /** Tells where this worker is. */
  at(epoch: number, step: number, phase?: StepPhase): void;
  /** Tells which sample the data module has been making for the longest time. */
  making(sample: number | undefined): void;
  /** Tells what this worker is doing. */
  doing(activity: string): void;
  stop(): void;
}

/** Seconds that the coordinator's first heartbeat may take: its process is watched by other means, too. */
const FIRST_SIGN = 120;

/** Begins to send heartbeats and to watch the coordinator's. */
export async function startHeartbeat(
  link: Link,
  settings: WorkerSettings,
  rank: number,
): Promise<Heartbeat> {
  const lost = new AbortController();
  const server = new ServerWatch(link);
  const watch = new SilenceTimer((silentMs) => {
    if (silentMs >= 1000) server.ask();
    const limit = watch.everHeard || link.serverGone
      ? settings.lostAfter
      : Math.max(settings.lostAfter, FIRST_SIGN);
    if (silentMs < 1000 * limit || lost.signal.aborted) return;
    const seconds = Math.round(silentMs / 1000);
    const what = link.serverGone
      ? `The nats-server at ${link.server} has been gone for ${seconds} s`
      : server.ask() === false
      ? `The nats-server at ${link.server} has stood still for ${seconds} s`
      : `Rank ${rank} has not heard from the coordinator for ${seconds} s`;
    lost.abort(new LockstepError(what));
  });
  const subscription = link.subscribe(link.subjects.coordinatorHeartbeat, {
    heartbeat: () => {
      watch.heard();
      server.heard();
    },
  });
  await link.flush();
  const sender = new HeartbeatSender({
    address: settings.nats,
    run: settings,
    from: `rank ${rank}`,
    subject: link.subjects.workerHeartbeat(rank),
  });
  link.onRefused(() => sender.refused());
  sender.failed.addEventListener("abort", () => lost.abort(sender.failed.reason));
  return {
    coordinatorLost: lost.signal,
    at: (epoch, step, phase) => sender.at(epoch, step, phase),
    making: (sample) => sender.making(sample),
    doing: (activity) => sender.doing(activity),
    stop: () => {
      sender.stop();
      watch.stop();
      subscription.unsubscribe();
    },
  };
}
