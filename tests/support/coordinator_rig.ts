/**
 * A coordinator with real worker processes for tests.
 *
 * @module
 */
import "./end_with_runner.ts";
import { delay } from "../../src/base/async.ts";
import { HeartbeatMonitor } from "../../src/cluster/heartbeat_monitor.ts";
import { Rendezvous } from "../../src/cluster/rendezvous.ts";
import { type SpawnedWorker, spawnWorkers, type WorkerGroup } from "../../src/hosts/spawn.ts";
import { CommandClient } from "../../src/protocol/command_channel.ts";
import type { Link } from "../../src/protocol/link.ts";
import { BlobTransfers } from "../../src/protocol/blob_transfers.ts";
import { type Rig, startRig } from "./nats_server.ts";

/** The worker program of the tests. */
export const TEST_WORKER = new URL("./test_worker.ts", import.meta.url);

/** Everything that a run's coordinator holds, up to the first command. */
export interface CoordinatorRig extends AsyncDisposable {
  readonly rig: Rig;
  readonly link: Link;
  readonly transfers: BlobTransfers;
  readonly group: WorkerGroup;
  readonly workers: readonly SpawnedWorker[];
  readonly monitor: HeartbeatMonitor;
  /** Fires when a worker or the server is lost. */
  readonly lost: AbortSignal;
  readonly commands: CommandClient;
  readonly warnings: string[];
}

/** Settings of {@linkcode startCoordinator}. */
export interface CoordinatorRigOptions {
  readonly count: number;
  readonly mode?: string;
  readonly lostAfter?: number;
  readonly joinTimeout?: number;
  readonly reconnectTimeout?: number;
  readonly replaceServer?: (rig: Rig) => void;
  readonly payload?: Uint8Array;
  readonly onWorkers?: (workers: readonly SpawnedWorker[]) => void;
}

/** Starts broker and workers, and gathers them. */
export async function startCoordinator(options: CoordinatorRigOptions): Promise<CoordinatorRig> {
  await using stack = new AsyncDisposableStack();
  const rig = stack.use(await startRig());
  const { reconnectTimeout = 30, replaceServer } = options;
  const link = await rig.open("coordinator", { reconnectMs: 1000 * reconnectTimeout });
  const transfers = await BlobTransfers.open(link, "coordinator");
  const lostAfter = options.lostAfter ?? 6;
  const group = stack.use(spawnWorkers({
    count: options.count,
    run: rig.run,
    nats: rig.broker,
    threads: 1,
    ...{ lostAfter, reconnectTimeout },
    entry: new URL(options.mode ? `?${options.mode}` : "", TEST_WORKER),
  }));
  const { workers } = group;
  options.onWorkers?.(workers);
  const rendezvous = await Rendezvous.open(link, {
    worldSize: options.count,
    joinTimeout: options.joinTimeout ?? 30,
    spawned: workers,
  });
  const offer = options.payload && transfers.offer(options.payload);
  const welcome = { job: { greeting: "hello" }, ...(offer ? { payload: offer.transfer } : {}) };
  const joined = await rendezvous.gather(() => welcome);
  const warnings: string[] = [];
  const lost = new AbortController();
  link.failed.addEventListener("abort", () => lost.abort(link.failed.reason));
  let heard = false;
  link.subscribe(link.subjects.coordinatorHeartbeat, { heartbeat: () => heard = true });
  const monitor = await HeartbeatMonitor.open(link, rig.broker, rig.run, {
    workers: joined,
    spawned: workers,
    lostAfter,
    joinTimeout: 60,
    reconnectTimeout,
    replaceServer: replaceServer && (() => replaceServer(rig)),
    stallAfter: 60,
    onLost: (error) => lost.abort(error),
    onServerLost: (error) => lost.abort(error),
    onStraggler: (message) => warnings.push(message),
  });
  // From here on everybody has heard everybody: what counts is how long ago.
  while (!heard || joined.some(({ rank }) => !monitor.lastHeartbeat(rank))) await delay(20);
  const commands = await CommandClient.open(link, transfers, options.count);
  stack.defer(() => {
    monitor.close();
    commands.close();
    rendezvous.close();
    transfers.close();
  });
  const cleanUp = stack.move();
  return {
    ...{ rig, link, transfers, group, workers, monitor, commands, warnings },
    lost: lost.signal,
    [Symbol.asyncDispose]: () => cleanUp.disposeAsync(),
  };
}
