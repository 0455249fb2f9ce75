/**
 * The life of a worker process: join, work, leave. It never outlives its coordinator.
 *
 * @module
 */
import {
  asLockstepError,
  EXIT_FAILED,
  EXIT_USAGE,
  LockstepError,
  messageOf,
  UsageError,
} from "../base/errors.ts";
import { armFaultPoint, FAULT_VARIABLE } from "../base/fault_point.ts";
import { given } from "../base/given.ts";
import { forbidExit } from "../base/forbid_exit.ts";
import { ignoreStopSignals } from "../base/signals.ts";
import {
  type CommandHandler,
  type CommandOutcome,
  serveCommands,
  type WorkerCommand,
} from "../protocol/command_channel.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { parseEvaluationJob } from "../train/evaluation_job.ts";
import { parseJob } from "../train/job.ts";
import type { Json } from "../protocol/large_json.ts";
import { EvaluationSession } from "./evaluation_session.ts";
import { blameOf } from "./blame.ts";
import { startHeartbeat } from "./heartbeat.ts";
import { joinRun } from "./join.ts";
import { OrphanedError, type Parent, readParent } from "./parent.ts";
import { bindToDevice, type EngineSettings } from "./open_device.ts";
import type { WorkerPlace } from "./rank_generation.ts";
import { Session, type SessionOptions } from "./session.ts";

/** The part that carries out a worker's commands: training, or a benchmark. */
export interface WorkerSession {
  run(command: WorkerCommand): Promise<CommandOutcome>;
  close(): Promise<void> | void;
}

/** Opens the session of a job that is a benchmark; `benchmark` is what the job holds for it. */
export type OpenBenchmark = (options: SessionOptions, benchmark: unknown) => WorkerSession;

/** Seconds to wait for the welcome; the coordinator's own limit ends a run that doesn't get together. */
const JOIN_TIMEOUT = 600;

/**
 * Runs a worker until the coordinator says stop or is gone.
 *
 * @param openBenchmark Opens the session of a benchmark's job
 * @returns The exit code
 */
export async function runWorker(openBenchmark: OpenBenchmark): Promise<number> {
  // A signal to the group reaches every process; the coordinator decides what it means.
  ignoreStopSignals();
  forbidExit();
  try {
    const parent = await readParent();
    // Before anything starts threads, which inherit it.
    const boundCpus = bindToDevice(parent.settings.device);
    const orphaned = new AbortController();
    parent.gone.then(() => orphaned.abort(new OrphanedError()));
    const engine = { ...parent.settings, ...given("boundCpus", boundCpus) };
    await work(parent, engine, openBenchmark, orphaned.signal);
    return 0;
  } catch (thrown) {
    const error = asLockstepError(thrown);
    console.error(error instanceof LockstepError ? messageOf(error) : error);
    return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED;
  }
}

/** Opens the session of a job: an evaluation, a benchmark, or training. */
async function openSession(
  json: Json,
  parts: Omit<SessionOptions, "job">,
  openBenchmark: OpenBenchmark,
): Promise<WorkerSession> {
  const evaluation = parseEvaluationJob(json);
  if (evaluation) return await EvaluationSession.open({ ...parts, job: evaluation });
  const options = { ...parts, job: parseJob(json) };
  const { benchmark } = options.job;
  return benchmark === undefined ? await Session.open(options) : openBenchmark(options, benchmark);
}

/** A job with the parts that are others on this machine. */
function withPartsHere(job: Json, parts: Parent["settings"]["jobHere"]): Json {
  const isObject = typeof job === "object" && job !== null && !Array.isArray(job);
  return isObject ? { ...job, ...parts } : job;
}

async function work(
  { settings }: Parent,
  engine: EngineSettings,
  openBenchmark: OpenBenchmark,
  orphaned: AbortSignal,
): Promise<void> {
  const { link, transfers, rank, worldSize, generation, job, ...memory } = await joinRun(
    settings,
    JOIN_TIMEOUT,
    orphaned,
  );
  armFaultPoint(Deno.env.get(FAULT_VARIABLE), rank);
  const heartbeat = await startHeartbeat(link, settings, rank);
  const signal = AbortSignal.any([orphaned, heartbeat.coordinatorLost, link.failed]);
  const over = Promise.withResolvers<void>();
  over.promise.catch(() => {}); // it may fail long before it is awaited
  signal.addEventListener("abort", () => over.reject(signal.reason), { once: true });
  try {
    heartbeat.doing("preparing");
    const place: WorkerPlace = { rank, worldSize };
    link.enterGeneration(generation);
    const parts = { memory, place, link, heartbeat, engine, signal };
    const own = withPartsHere(job, settings.jobHere);
    const session = await openSession(own, parts, openBenchmark).catch((error) => {
      const isInput = !signal.aborted && blameOf(error) === "input";
      // The exit code tells the coordinator that another process would fare no better.
      throw isInput ? new UsageError(messageOf(error), { cause: error }) : error;
    });
    const handle: CommandHandler = async (command) => {
      if (command.name !== WORKER_COMMANDS.stop) return await session.run(command);
      // The reply goes out first.
      setTimeout(over.resolve, 0);
    };
    const server = await serveCommands(link, transfers, rank, handle, { signal, blameOf });
    await over.promise;
    await link.flush();
    server.close();
    await session.close();
  } finally {
    heartbeat.stop();
    transfers.close();
    await link.close();
  }
}
