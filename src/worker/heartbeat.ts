/**
 * A worker's heartbeats, and its eye on the coordinator's.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { type HeartbeatName, HeartbeatSender } from "../protocol/heartbeat_sender.ts";
import type { Link } from "../protocol/link.ts";
import { ServerGoneError, WORKER_WAITS_LONGER } from "../protocol/server_loss.ts";
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
  /** The worker has another rank from now on. */
  rename(rank: number): void;
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
  let serverStood = false;
  const watch = new SilenceTimer((silentMs) => {
    // Nobody can be heard then; the link fails when the server is gone for too long.
    if (link.serverGone) return watch.excuse();
    const answered = silentMs < 1000 || server.ask();
    if (answered === undefined) return;
    const serverStands = !answered;
    if (serverStood && !serverStands) watch.excuse();
    serverStood = serverStands;
    const limit = serverStands
      ? settings.reconnectTimeout + WORKER_WAITS_LONGER
      : watch.everHeard
      ? settings.lostAfter
      : Math.max(settings.lostAfter, FIRST_SIGN);
    if (watch.silentMs < 1000 * limit || lost.signal.aborted) return;
    const seconds = Math.round(silentMs / 1000);
    lost.abort(
      serverStands
        ? new ServerGoneError(link.server, "has stood still", seconds)
        : new LockstepError(`Rank ${rank} has not heard from the coordinator for ${seconds} s`),
    );
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
    ...nameOf(link, rank),
  });
  link.onRefused(() => sender.refused());
  sender.failed.addEventListener("abort", () => lost.abort(sender.failed.reason));
  return {
    coordinatorLost: lost.signal,
    at: (epoch, step, phase) => sender.at(epoch, step, phase),
    making: (sample) => sender.making(sample),
    rename: (rank) => sender.rename(nameOf(link, rank)),
    doing: (activity) => sender.doing(activity),
    stop: () => {
      sender.stop();
      watch.stop();
      subscription.unsubscribe();
    },
  };
}

function nameOf({ subjects }: Link, rank: number): HeartbeatName {
  return { from: `rank ${rank}`, subject: subjects.workerHeartbeat(rank) };
}
