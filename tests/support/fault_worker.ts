/**
 * A rank of a training in shared memory, for tests that let one of them die: it trains, and tells the bits of its state
 * after each step, or those that it holds when it is told to end in the middle of one.
 *
 * Writes the shape of its vectors as a line of JSON, a `FaultShape`. Then it reads lines of JSON from standard input: a
 * `FaultCommand`, or `"end"`, which ends the training that runs. Each training is answered with a line, a `FaultReply`.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { armFaultPoint, FAULT_VARIABLE } from "../../src/base/fault_point.ts";
import { mapSharedSegment } from "../../src/base/shared_memory.ts";
import { syntheticBatches } from "../../src/bench/synthetic.ts";
import { readLines } from "../../src/hosts/lines.ts";
import { decidedConfigSchema } from "../../src/config/schema.ts";
import { openEngineOnCpu } from "../../src/engine/engine.ts";
import { Meeting, meetingBytes } from "../../src/exchange/meeting.ts";
import type { ExchangeLink } from "../../src/exchange/rank_end.ts";
import { makeBuffers, openExchange } from "../../src/exchange/shared_exchange.ts";
import type { ExchangeShape } from "../../src/exchange/step_buffers.ts";
import { ensureLibtensorflow } from "../../src/provision/libtensorflow.ts";
import { buildReplica } from "../../src/train/build_replica.ts";
import type { Replica } from "../../src/train/replica.ts";
import { runEpoch } from "../../src/train/rank_epoch.ts";
import { RunPlan } from "../../src/train/run_plan.ts";

/** The shape of the vectors of a training, but for the number of ranks. */
export type FaultShape = Pick<ExchangeShape, "vectorBytes" | "regions"> & {
  readonly gradientBytes: number;
};

/** A training of some steps. */
export interface FaultCommand {
  readonly rank: number;
  readonly shape: ExchangeShape;
  readonly steps: number;
  readonly segment: { readonly path: string; readonly bytes: number };
}

/** The bits of a rank's state. */
export interface FaultReply {
  /** SHA-256 of the state after each number of steps that this rank has taken: from 0 on. */
  readonly states: readonly string[];
  /** The same of what the rank holds at the end. */
  readonly last: string;
  /** Number of the steps that all ranks have committed. */
  readonly committed: number;
}

/** The run whose steps are trained: AdamW with averages, BatchNorm, and clipping by the norm. */
const SIDE = 12;
const CLASSES = 4;
const BATCH = 12;
const config = decidedConfigSchema.parse({
  name: "fault",
  workers: 2,
  model: { name: "plain_cnn", weights: "none" },
  data: {
    root: "made-up",
    train: [{ CenterCrop: SIDE }, { Normalize: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } }],
    val: [{ CenterCrop: SIDE }, { Normalize: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } }],
  },
  train: {
    ...{ epochs: 1, batchSize: BATCH, optimizer: "adamw", lr: 0.01, clipGradNorm: 1 },
    ema: { decay: 0.9 },
  },
  engine: { threadsPerWorker: 1 },
});

/** Builds the replica, in an engine on the CPU. */
async function build(): Promise<Replica> {
  await openEngineOnCpu({
    libraryPath: await ensureLibtensorflow(() => {}),
    threads: { intraOp: 1, interOp: 1 },
  });
  return await buildReplica(config, { numClasses: CLASSES });
}

async function digest(replica: Replica): Promise<string> {
  return createHash("sha256").update(await replica.state.exportState()).digest("hex");
}

async function train(
  replica: Replica,
  initial: Uint8Array<ArrayBuffer>,
  { rank, shape: common, steps, segment }: FaultCommand,
  signal: AbortSignal,
): Promise<FaultReply> {
  const memory = mapSharedSegment(segment.path, segment.bytes);
  const shape = { ...common, rank };
  const { worldSize } = shape;
  const buffers = makeBuffers(shape, memory);
  const exchange = await openExchange({} as ExchangeLink, { ...shape, buffers });
  replica.state.attach(buffers);
  await replica.state.importState(initial);
  const plan = new RunPlan(config, { train: { length: steps * BATCH }, val: { length: 0 } });
  const parts = {
    ...{ config, plan, replica, exchange },
    place: { rank, worldSize },
    loader: syntheticBatches(SIDE, CLASSES),
  };
  const states = [digest(replica)];
  try {
    await runEpoch(parts, { epoch: 1, startStep: 0, optimizerSteps: 0 }, {
      onEnd: () => void states.push(digest(replica)),
    }, signal);
  } catch (error) {
    if (error !== signal.reason) throw error;
  }
  const { committed } = new Meeting(memory.subarray(0, meetingBytes(worldSize)), worldSize);
  return { states: await Promise.all(states), last: await digest(replica), committed };
}

function answer(reply: FaultShape | FaultReply): void {
  console.log(JSON.stringify(reply));
}

async function serve(): Promise<void> {
  using replica = await build();
  const { vectorBytes, regions, gradientBytes } = replica.state;
  answer({ vectorBytes, regions, gradientBytes });
  const initial = await replica.state.exportState();
  let ending = new AbortController();
  for await (const line of readLines(Deno.stdin.readable)) {
    const command: FaultCommand | "end" = JSON.parse(line);
    if (command === "end") {
      ending.abort(new Error("told to end"));
      continue;
    }
    ending = new AbortController();
    armFaultPoint(Deno.env.get(FAULT_VARIABLE), command.rank);
    train(replica, initial, command, ending.signal).then(
      answer,
      (error) => {
        console.error(error);
        Deno.exit(1);
      },
    );
  }
}

if (import.meta.main) await serve();
