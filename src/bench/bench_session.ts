/**
 * A worker's work in a benchmark: it times all-reduces or training steps, with the parts of real training.
 *
 * @module
 */
import { type ComputeDevice, CPU_DEVICE } from "../base/compute_device.ts";
import { LockstepError } from "../base/errors.ts";
import { hostOf } from "../engine/device_memory.ts";
import { type ChosenExchange, openExchange } from "../exchange/open_exchange.ts";
import type { CommandOutcome, WorkerCommand } from "../protocol/command_channel.ts";
import type { Json } from "../protocol/large_json.ts";
import type { GradientDtype } from "../protocol/messages.ts";
import { timeAllReduce, timeCopies } from "./time_all_reduce.ts";
import {
  type AllReduceTimes,
  type Benchmark,
  type BenchmarkJob,
  benchmarkJobSchema,
  benchmarkSchema,
  type TrainTimes,
} from "./benchmark.ts";
import { timeEpoch } from "./time_epoch.ts";
import { buildReplica } from "../train/build_replica.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { makeLoaders, scanData, startLoaderThreads } from "../train/job.ts";
import { type BenchReplica, pausingReplica, syntheticBatches } from "./synthetic.ts";
import type { BatchSource } from "../train/rank_epoch.ts";
import { RunPlan } from "../train/run_plan.ts";
import { judgeStateOf } from "../train/step_judge.ts";
import { ncclWish } from "../worker/nccl_wish.ts";
import { openDevice } from "../worker/open_device.ts";
import type { SessionOptions } from "../worker/session.ts";

/** The state that a benchmark's worker holds; each part is opened when it is first needed. */
export class BenchSession {
  readonly #options: SessionOptions;
  readonly #work: BenchmarkJob;
  readonly #stack = new AsyncDisposableStack();
  #replica: BenchReplica | undefined;
  #open: ChosenExchange | undefined;
  #firstStepAt: number | undefined;

  /** @param work The job's `benchmark`, as it came */
  constructor(options: SessionOptions, work: unknown) {
    this.#options = options;
    this.#work = benchmarkJobSchema.parse(work);
  }

  /** Carries out one command. */
  async run({ name, args }: WorkerCommand): Promise<CommandOutcome> {
    if (name !== WORKER_COMMANDS.benchmark) {
      throw new LockstepError(`A worker of a benchmark doesn't know the command "${name}"`);
    }
    const { heartbeat } = this.#options;
    heartbeat.doing(name);
    try {
      const benchmark = benchmarkSchema.parse(args);
      const result = benchmark.kind === "allReduce"
        ? await this.#allReduce(benchmark)
        : await this.#train(benchmark);
      return { result: result as unknown as Json };
    } finally {
      heartbeat.doing("waiting");
    }
  }

  /** Gives up images, model and exchange. */
  async close(): Promise<void> {
    await this.#stack.disposeAsync();
    await this.#open?.exchange.close();
  }

  async #allReduce(benchmark: Extract<Benchmark, { kind: "allReduce" }>): Promise<AllReduceTimes> {
    const { place, signal } = this.#options;
    const open = await this.#exchangeOf(benchmark.bytes, 1, CPU_DEVICE, true);
    const onStep = this.#onStep(benchmark.round);
    const dtype = this.#dtype;
    const times = await timeAllReduce({ ...open, dtype }, place, benchmark, onStep, signal);
    return { exchange: open.name, dtype, ...times };
  }

  async #train(benchmark: Extract<Benchmark, { kind: "train" }>): Promise<TrainTimes> {
    const { job: { config }, place, signal } = this.#options;
    const { round, warmup, steps, globalBatch } = benchmark;
    const replica = this.#replica ??= await this.#openReplica();
    const samples = (warmup + steps) * globalBatch;
    const loader = await this.#images(samples);
    const { vectorBytes, regions } = replica.state;
    const device = this.#work.pause ? CPU_DEVICE : this.#options.engine.device;
    const { exchange, buffers, name } = await this.#exchangeOf(vectorBytes, regions, device);
    replica.state.attach(buffers);
    const span = { epoch: round, startStep: 0, optimizerSteps: 0, ...judgeStateOf(config) };
    const counts = { train: { length: samples }, val: { length: 0 } };
    const plan = new RunPlan(config, counts, globalBatch);
    const parts = { config, plan, place, replica, loader, exchange };
    const timed = await timeEpoch(parts, span, this.#onStep(round), signal);
    const copied = this.#work.pause
      ? { copyTogether: timeCopies(hostOf(buffers.vector), new Uint8Array(vectorBytes)) }
      : {};
    return {
      exchange: name,
      steps: timed.steps.slice(warmup),
      vectorBytes,
      loss: Number.isFinite(timed.loss) ? timed.loss : null,
      residentBytes: Deno.memoryUsage().rss,
      firstStepAt: this.#firstStepAt ??= timed.firstStepAt,
      ...copied,
    };
  }

  #onStep(round: number): (step: number) => void {
    return (step) => this.#options.heartbeat.at(round, step);
  }

  /**
   * The exchange for vectors of a length, that hold nothing but gradients; one is open at a time.
   *
   * @param device The device that computes the gradients
   */
  async #exchangeOf(
    vectorBytes: number,
    regions: number,
    device: ComputeDevice,
    sumInRegion = false,
  ): Promise<ChosenExchange> {
    const { buffers } = this.#open ?? {};
    const isAsWanted = buffers?.vector.byteLength === vectorBytes &&
      buffers.regions.length === regions &&
      (buffers.reduced === buffers.regions[0].current) === sumInRegion;
    if (this.#open && isAsWanted) return this.#open;
    await this.#open?.exchange.close();
    const { link, place, memory, signal, job: { config } } = this.#options;
    const wire = { dtype: this.#dtype, gradientBytes: vectorBytes };
    const shape = { ...place, vectorBytes, regions, wire, sumInRegion };
    return this.#open = await openExchange(
      link,
      shape,
      memory.segment,
      ncclWish(config, device, signal),
    );
  }

  /** The dtype in which gradients travel. */
  get #dtype(): GradientDtype {
    const { job, memory } = this.#options;
    return memory.segment ? "float32" : job.config.nats.gradientDtype;
  }

  async #openReplica(): Promise<BenchReplica> {
    const { job, engine } = this.#options;
    if (this.#work.pause) return pausingReplica(this.#work.pause);
    await openDevice(engine, job);
    return this.#stack.use(await buildReplica(job.config, job));
  }

  /** At least `samples` images; those of a folder come again and again. */
  async #images(samples: number): Promise<BatchSource> {
    const { job } = this.#options;
    const { config } = job;
    if (this.#work.images === "made") {
      return syntheticBatches(this.#work.imageSize, job.numClasses);
    }
    const folder = await scanData(job.root, config);
    this.#stack.use(folder.source);
    const { train } = folder;
    const repeated = Array.from(
      { length: samples },
      (_, index) => ({ ...train.at(index % train.length)!, index }),
    );
    const threads = this.#stack.use(startLoaderThreads(config));
    return makeLoaders({ ...folder, train: repeated }, config, { threads }).train;
  }
}
