/**
 * A worker process for tests of a cluster's recoveries: a member of generations of ranks as a worker of a run is, with a
 * state of one vector instead of a model. Its job says where which worker fails.
 *
 * @module
 */
import { CPU_DEVICE } from "../../src/base/compute_device.ts";
import { EXIT_USAGE } from "../../src/base/errors.ts";
import { floatsOf } from "../../src/base/float_range.ts";
import { mapSharedSegment } from "../../src/base/shared_memory.ts";
import { hostOf } from "../../src/engine/device_memory.ts";
import {
  type CommandOutcome,
  serveCommands,
  type WorkerCommand,
} from "../../src/protocol/command_channel.ts";
import {
  loadStateSchema,
  openExchangeSchema,
  readStateSchema,
} from "../../src/protocol/generation_commands.ts";
import { blameOf } from "../../src/worker/blame.ts";
import { startHeartbeat } from "../../src/worker/heartbeat.ts";
import { joinRun } from "../../src/worker/join.ts";
import { readParent } from "../../src/worker/parent.ts";
import { RankGeneration } from "../../src/worker/rank_generation.ts";
import { VectorState } from "./vector_state.ts";

/** A failure that the job asks for, of the first process to which it applies: the memory for images notes it. */
export interface Fault {
  /** The rank with which the worker joins. */
  readonly worker: number;
  /** The worker's generation at that time, or the one that it joins. */
  readonly generation: number;
  /** Name of a command; `join`, or `opened` when its exchange of the generation is open. */
  readonly at: string;
  readonly step?: number;
  readonly how: "exit" | "usage" | "throw" | "hang";
}

/** The job of such a worker. */
export interface MemberJob {
  readonly vectorBytes: number;
  readonly faults: readonly Fault[];
}

const { settings, gone } = await readParent();
gone.then(() => Deno.exit(3));
const member = await joinRun(settings, 20);
const { link, transfers, rank: number } = member;
const { vectorBytes, faults } = member.job as unknown as MemberJob;
// A worker without that memory has its failure unless it is a replacement.
const happened = member.cache
  ? mapSharedSegment(member.cache.path, member.cache.bytes)
  : new Uint8Array(64).fill(settings.isReplacement ? 1 : 0);
let { generation } = member;
link.enterGeneration(generation);
await failAt("join");
const heartbeat = await startHeartbeat(link, settings, number);
const state = new VectorState(vectorBytes);
const place = { rank: number, worldSize: member.worldSize };
const over = new AbortController();
const membership = new RankGeneration({
  config: {
    exchange: "shared-memory",
    nats: { gradientDtype: "float32" },
    liveness: { reportAfter: 60, stallAfter: 60 },
    nccl: { bucketSize: 0 },
    engine: { deterministic: true },
  } as unknown as ConstructorParameters<typeof RankGeneration>[0]["config"],
  ...{ state, place, link, heartbeat },
  engine: { device: CPU_DEVICE },
  signal: over.signal,
});
const left = Promise.withResolvers<void>();
await serveCommands(link, transfers, number, obey, { blameOf });
await left.promise;
await link.close();
Deno.exit(0);

async function failAt(at: string, step?: number): Promise<void> {
  const index = faults.findIndex((fault, index) =>
    fault.worker === number && fault.generation === generation && fault.at === at &&
    fault.step === step && !happened[index]
  );
  const fault = faults[index];
  if (fault) happened[index] = 1;
  if (fault?.how === "exit") Deno.exit(41);
  if (fault?.how === "usage") {
    console.error("The config is no good");
    Deno.exit(EXIT_USAGE);
  }
  if (fault?.how === "throw") throw new Error("No such thing");
  if (fault?.how === "hang") await new Promise(() => {});
}

async function obey(command: WorkerCommand): Promise<CommandOutcome> {
  heartbeat.doing(command.name);
  try {
    return await run(command);
  } finally {
    heartbeat.doing("waiting");
  }
}

async function run({ name, args, payload, signal }: WorkerCommand): Promise<CommandOutcome> {
  if (name !== "openExchange") await failAt(name);
  switch (name) {
    case "openExchange": {
      const open = openExchangeSchema.parse(args);
      generation = open.generation;
      await failAt(name);
      await membership.open(open, signal);
      await failAt("opened");
      return {};
    }
    case "pause":
      return { result: { ...await membership.pause() } };
    case "loadState":
      state.values.set(floatsOf(payload!));
      membership.loaded(loadStateSchema.parse(args));
      return {};
    case "readState":
      membership.hold(readStateSchema.parse(args).hold);
      return { payload: new Uint8Array(state.values.slice().buffer) };
    case "trainEpoch":
      await train(args as { epoch: number; startStep: number; endStep: number }, signal);
      return {};
    default: // stop
      setTimeout(left.resolve, 50); // after the reply
      return {};
  }
}

async function train(
  { epoch, startStep, endStep }: { epoch: number; startStep: number; endStep: number },
  signal: AbortSignal,
): Promise<void> {
  const { onCommit, onEnd } = membership.counting({ epoch, steps: startStep });
  const { exchange } = membership;
  for (let step = startStep; step < endStep; step++) {
    heartbeat.at(epoch, step, "computing");
    floatsOf(hostOf(state.buffers.vector)).forEach((_, at, vector) =>
      vector[at] = (step + 1) * (1 + at % 7)
    );
    await failAt("trainEpoch", step);
    await exchange.reduceScatter(
      { epoch, step, samples: 1, weight: 1, lossSum: 0, correct: 0 },
      signal,
    );
    const result = await exchange.agree(0, signal);
    state.update();
    await exchange.allGather(signal);
    state.commit();
    onCommit();
    onEnd(step, { data: 0, forwardBackward: 0, exchange: 0, update: 0 }, result);
    if (result.action === "stop") return;
  }
}
