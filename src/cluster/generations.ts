/**
 * The generations of a cluster's ranks: the present one, and the way to the next.
 *
 * @module
 */
import { anySignal } from "../base/async.ts";
import { type ComputeDevice, onDevice } from "../base/compute_device.ts";
import { itemAt } from "../base/item_at.ts";
import type { LossPolicy } from "../base/loss_policy.ts";
import type { z } from "../deps/zod.ts";
import type { CallOptions, Reply } from "../protocol/command_channel.ts";
import {
  type EpochSteps,
  type openExchangeSchema,
  pausedSchema,
} from "../protocol/generation_commands.ts";
import type { Json } from "../protocol/large_json.ts";
import { WORKER_COMMANDS } from "../protocol/worker_commands.ts";
import { type ClusterParts, makeExchange, segmentsFor, welcomeOf } from "./assembly.ts";
import type { CoordinatorExchange } from "./coordinator_exchange.ts";
import {
  AllWorkersLostError,
  type BookedSteps,
  commonSteps,
  type Membership,
  nextMembership,
} from "./recover.ts";
import type { JoinedWorker } from "./rendezvous.ts";

/** The parts of a cluster that a generation works with. */
export interface GenerationParts extends
  Pick<
    ClusterParts,
    "options" | "channels" | "held" | "group" | "devices" | "network" | "rendezvous" | "monitor"
  > {
  /** Has workers run a command; ends at a loss. */
  readonly call: (
    name: string,
    args: Json,
    options: Omit<CallOptions, "signal"> & { readonly signal?: AbortSignal | undefined },
  ) => Promise<Reply[]>;
  /** Returns a signal of the next loss. */
  readonly nextLoss: () => AbortSignal;
}

/** The ranks of a cluster, from one generation to the next. */
export class Generations {
  readonly #parts: GenerationParts;
  #workers: readonly JoinedWorker[];
  #devices: readonly ComputeDevice[] | undefined;
  #number = 0;
  /** The workers' answers, once the exchange of the generation is open. */
  #opened: Reply[] | undefined;

  /** @param workers The first generation, in the order of the ranks */
  constructor(parts: GenerationParts, workers: readonly JoinedWorker[]) {
    this.#parts = parts;
    this.#workers = workers;
    this.#devices = parts.devices;
  }

  /** Number of the present one, counted from 0. */
  get number(): number {
    return this.#number;
  }

  /** Its workers, in the order of their ranks. */
  get workers(): readonly JoinedWorker[] {
    return this.#workers;
  }

  /** The device of a rank; nothing where all compute on the CPU. */
  deviceOf(rank: number): ComputeDevice | undefined {
    return this.#devices?.[rank];
  }

  /**
   * Opens the exchange of the present generation, unless a recovery has opened it.
   *
   * @returns The workers' answers, in the order of the ranks
   */
  async openExchange(signal?: AbortSignal): Promise<Reply[]> {
    if (this.#opened) return this.#opened;
    const all = nextMembership(this.#workers.length, new Set(), "restart");
    const { held, channels: { commands: { numbers } } } = this.#parts;
    const args = exchangeArgs(this.#number, all, numbers, this.#meansOf(held.exchange), null);
    return this.#opened = await this.#parts.call(WORKER_COMMANDS.openExchange, plainJson(args), {
      signal,
    });
  }

  /**
   * Makes the next generation without the lost ranks.
   *
   * @param lostRanks Loses those that have a new worker with the state
   * @returns Steps of the epoch that the ranks hold, where they were training
   * @throws {AllWorkersLostError} when no worker is left that has the state
   */
  async regroup(
    lostRanks: Set<number>,
    policy: Exclude<LossPolicy, "fail">,
    { booked, signal }: {
      booked: (() => Promise<BookedSteps>) | undefined;
      signal: AbortSignal | undefined;
    },
  ): Promise<number | undefined> {
    const { options, channels: { link, commands, skipped }, held, group, monitor } = this.#parts;
    const isLost = (rank: number) => lostRanks.has(rank);
    const before = this.#workers;
    const staying = new Set(before.filter(({ rank }) => !isLost(rank)).map(({ id }) => id));
    // Also those that were started in an attempt that failed.
    const leaving = group.workers.map(({ id }) => id).filter((id) => !staying.has(id));
    monitor.forget(leaving);
    await group.reap(leaving);
    const next = nextMembership(before.length, lostRanks, policy);
    if (next.staying.length === 0) {
      throw new AllWorkersLostError(`All ${before.length} workers of the run are lost`);
    }
    await using made = new AsyncDisposableStack();
    const lost = this.#parts.nextLoss();
    const ends = anySignal(lost, signal);
    const generation = this.#number + 1;
    const members = Object.keys(next.ranks).map((rank) => itemAt(commands.numbers, Number(rank)));
    const joining = (async () => {
      await group.ready(next.replaced, ends);
      const exchange = await makeExchange(options, link, group.hostsOf(members), held.exchange);
      made.defer(() => void (exchange && held.left.push(exchange)));
      return { exchange, joined: await this.#replace(next.replaced, exchange, generation, ends) };
    })();
    joining.catch(() => {}); // awaited below, unless another failure comes first
    const { hold, state } = await this.#pause(next, booked, signal);
    const { exchange, joined } = await joining;
    const workers = policy === "shrink" ? renumbered(before, next) : joined;
    if (policy === "restart") {
      monitor.watch(workers, group.workers);
      if (state) {
        // Before they open the exchange, whose memory may be that of the others' state: they change nothing of it then.
        await this.#parts.call(WORKER_COMMANDS.loadState, hold, {
          ...{ payload: state, ranks: next.replaced, signal },
        });
      }
      this.#workers = workers;
      lostRanks.clear();
    }

    await held.exchange?.[Symbol.asyncDispose]();
    link.enterGeneration(generation);
    skipped.listen(hold ? { epoch: hold.epoch, step: hold.steps } : undefined);
    made.defer(() => exchange?.[Symbol.asyncDispose]());
    const problems = workers.map(({ segmentProblem }) => segmentProblem);
    await exchange?.open(problems, (rank) => this.#parts.monitor.describe(rank));
    const present = Object.keys(next.ranks).map(Number);
    this.#number = generation;
    const args = exchangeArgs(generation, next, commands.numbers, this.#meansOf(exchange), hold);
    const mostRows = policy === "shrink" ? this.#limitRows(next) : undefined;
    if (mostRows !== undefined) args.mostRows = mostRows;
    this.#opened = await this.#parts.call(WORKER_COMMANDS.openExchange, plainJson(args), {
      ranks: present,
      signal,
    });
    options.recovery?.onOpened?.(this.#opened);
    if (policy === "shrink") this.#closeUp(next, workers);
    made.move();
    for (const left of [held.exchange, ...held.left.splice(0)]) left?.release();
    held.exchange = exchange;
    return hold?.steps;
  }

  /** The means by which the ranks of an exchange reach each other. */
  #meansOf(exchange: CoordinatorExchange | undefined): Pick<ExchangeArgs, "segments" | "hosts"> {
    const { places, hosts = [] } = exchange ?? {};
    return {
      segments: places?.map(({ path, bytes }) => ({ path, bytes })) ?? null,
      hosts: places && hosts.length > 1 ? this.#parts.network!.linkSettings(hosts) : null,
    };
  }

  /** The most rows that each worker that is left may compute at once, where memory is short. */
  #limitRows({ staying, worldSize }: Membership): number | undefined {
    const devices = staying.flatMap((rank) => this.#devices?.[rank] ?? []);
    return this.#parts.options.recovery?.limitRows?.(worldSize, devices);
  }

  /** The ranks that stay have new ranks now. */
  #closeUp({ staying }: Membership, workers: readonly JoinedWorker[]): void {
    const { monitor, group, rendezvous, channels: { commands } } = this.#parts;
    this.#workers = workers;
    monitor.watch(workers, group.workers);
    rendezvous.keep(staying);
    const devices = this.#devices;
    this.#devices = devices && staying.map((rank) => itemAt(devices, rank));
    commands.keep(staying, this.#devices?.map(onDevice));
  }

  /** Starts workers in the place of lost ones, and lets them join; returns all workers. */
  async #replace(
    ranks: readonly number[],
    exchange: CoordinatorExchange | undefined,
    generation: number,
    signal: AbortSignal,
  ): Promise<readonly JoinedWorker[]> {
    if (ranks.length === 0) return this.#workers;
    const { cache } = this.#parts.options;
    const segments = segmentsFor(exchange, cache);
    const started = await this.#parts.group.start(ranks, segments, true);
    return await this.#parts.rendezvous.replace(started, (workers) => {
      const hasCache = workers.every(({ segmentProblem }) => segmentProblem === null);
      const memory = cache && hasCache ? { cache: { path: cache.path, bytes: cache.bytes } } : {};
      return { ...welcomeOf(this.#parts.options, memory, this.#parts.channels), generation };
    }, signal);
  }

  /** Pauses the ranks that stay; returns how many steps they have in common, and the state for new ranks. */
  async #pause(
    { staying, replaced }: Membership,
    booked: (() => Promise<BookedSteps>) | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ hold: EpochSteps | null; state: Uint8Array<ArrayBuffer> | undefined }> {
    const replies = await this.#parts.call(WORKER_COMMANDS.pause, null, { ranks: staying, signal });
    const paused = replies.map(({ rank, result }) => ({ rank, ...pausedSchema.parse(result) }));
    const books = await booked?.();
    const hold = books ? commonSteps(paused.map(({ held }) => held), books) : null;
    const source = paused.find(({ hasState }) => hasState);
    if (!source || replaced.length === 0) return { hold, state: undefined };
    const [{ payload }] = await this.#parts.call(WORKER_COMMANDS.readState, { hold }, {
      ...{ ranks: [source.rank], signal },
    });
    return { hold, state: payload };
  }
}

type ExchangeArgs = z.input<typeof openExchangeSchema>;

/** The arguments of `openExchange`. */
function exchangeArgs(
  generation: number,
  { worldSize, ranks }: Membership,
  numbers: readonly number[],
  means: Pick<ExchangeArgs, "segments" | "hosts">,
  hold: EpochSteps | null,
): ExchangeArgs {
  const byNumber = Object.entries(ranks).map(([present, rank]) => [
    itemAt(numbers, Number(present)),
    rank,
  ]);
  return { generation, worldSize, ranks: Object.fromEntries(byNumber), ...means, hold };
}

/** Leaves out what JSON doesn't have. */
function plainJson(args: ExchangeArgs): Json {
  return JSON.parse(JSON.stringify(args));
}

/** The workers that stay, with their new ranks. */
function renumbered(
  workers: readonly JoinedWorker[],
  { staying }: Membership,
): readonly JoinedWorker[] {
  return staying.map((present, rank) => ({ ...itemAt(workers, present), rank }));
}
