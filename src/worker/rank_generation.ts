/**
 * A worker's part in a generation of ranks: its rank, its end of the exchange, and the steps that its state holds.
 *
 * When ranks are lost, the coordinator pauses the others, and lets them join the next generation with what they hold
 * (`src/cluster/recover.ts`).
 *
 * @module
 */
import type { z } from "../deps/zod.ts";
import { LockstepError, UsageError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import { type ChosenExchange, openExchange } from "../exchange/open_exchange.ts";
import type { HangOptions } from "../exchange/rank_end.ts";
import type { HostServer } from "../exchange/hosts/host_link_options.ts";
import { type NetworkHostLink, openHostLink } from "../exchange/hosts/network_host_link.ts";
import { ExchangeError } from "../exchange/silence.ts";
import { given } from "../base/given.ts";
import { itemAt } from "../base/item_at.ts";
import type { Link } from "../protocol/link.ts";
import type {
  EpochSteps,
  ExchangingHosts,
  loadStateSchema,
  openExchangeSchema,
  pausedSchema,
} from "../protocol/generation_commands.ts";
import type { ReplicaState } from "../train/replica_state.ts";
import type { StepObserver } from "../train/step_watch.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { ncclWish } from "./nccl_wish.ts";
import type { EngineSettings } from "./open_device.ts";

/** Share of `liveness.stallAfter` after which a sum of the GPUs counts as hung. */
const SUM_SHARE = 0.8;

/** A worker's rank among the ranks of the present generation. */
export interface WorkerPlace {
  rank: number;
  worldSize: number;
}

/** The subset of `ReplicaState` that a generation works with. */
export type HeldState = Pick<
  ReplicaState,
  "vectorBytes" | "regions" | "gradientBytes" | "attach" | "move" | "restore" | "uncommit"
>;

/** The parts of a worker that its generation works with. */
export interface RankGenerationOptions {
  readonly config: Parameters<typeof ncclWish>[0] & {
    readonly nats: Pick<Config["nats"], "gradientDtype">;
    readonly liveness: Pick<Config["liveness"], "reportAfter" | "stallAfter">;
  };
  readonly state: HeldState;
  /** It changes where a generation begins. */
  readonly place: WorkerPlace;
  readonly link: Link;
  readonly heartbeat: Pick<Heartbeat, "rename">;
  readonly engine: Pick<EngineSettings, "device">;
  readonly signal: AbortSignal;
}

/** The steps that a state holds. */
interface HeldSteps extends EpochSteps {
  /** Tells whether the last one of them has changed the state; undefined where none can be taken back. */
  readonly hasChanged?: boolean;
}

/** The place of a rank among those of its host, where it shares memory with them. */
function placeOnHost(
  { rank, worldSize }: WorkerPlace,
  ranks: readonly number[] = [worldSize],
): WorkerPlace & { readonly host: number } {
  let first = 0;
  for (const [host, count] of ranks.entries()) {
    if (rank < first + count) return { host, rank: rank - first, worldSize: count };
    first += count;
  }
  throw new TypeError(`Rank ${rank} is on none of the hosts`);
}

/** A signal that fires with another one, as long as it isn't disposed of. */
function abortedBy(other: AbortSignal): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const abort = () => controller.abort(other.reason);
  other.addEventListener("abort", abort);
  if (other.aborted) abort();
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => other.removeEventListener("abort", abort),
  };
}

/** The data servers of all hosts, as one of them reaches them: its own without TLS, on the way through its own kernel. */
function serversOf({ names, servers, nkey }: ExchangingHosts, host: number): HostServer[] {
  return itemAt(servers, host).map(({ url, fingerprint }, at) => ({
    name: itemAt(names, at),
    address: {
      ...(at === host
        ? { url: url.replace(/^tls:/, "nats:"), plain: true }
        : { url, ...given("fingerprint", fingerprint) }),
      credentials: { nkey },
      own: true,
    },
  }));
}

/** One worker's membership, from one generation to the next. */
export class RankGeneration {
  readonly #options: RankGenerationOptions;
  /** The rank with which this worker joined. */
  readonly #number: number;
  #exchange: ChosenExchange | undefined;
  /** The link to the ranks of other hosts. */
  #between: NetworkHostLink | undefined;
  #hasState = false;
  #held: HeldSteps | undefined;

  constructor(options: RankGenerationOptions) {
    this.#options = options;
    this.#number = options.place.rank;
  }

  /** This worker's end of the exchange; there is none between a pause and the next generation. */
  get exchange(): ChosenExchange["exchange"] {
    if (!this.#exchange) throw new TypeError("This worker has no exchange");
    return this.#exchange.exchange;
  }

  /**
   * Takes a rank in a generation, and opens its exchange with the other ranks. The state moves into its memory.
   *
   * @param superseded Ends the opening
   * @returns The exchange's name; and why it isn't what the worker would rather have
   */
  async open(
    { generation, worldSize, ranks, segments, hosts, hold }: Omit<
      z.output<typeof openExchangeSchema>,
      "mostRows"
    >,
    superseded: AbortSignal,
  ): Promise<Pick<ChosenExchange, "name" | "fallback">> {
    const { config, state, place, link, heartbeat, engine, signal } = this.#options;
    const rank = ranks[this.#number];
    if (rank === undefined) {
      throw new LockstepError(`Worker ${this.#number} isn't in generation ${generation}`);
    }
    this.hold(hold);
    Object.assign(place, { rank, worldSize });
    link.from = `rank ${rank}`;
    heartbeat.rename(rank);
    link.enterGeneration(generation);
    const { vectorBytes, regions, gradientBytes } = state;
    const wire = { dtype: config.nats.gradientDtype, gradientBytes };
    const hangs: HangOptions = {
      afterMs: 1000 * config.liveness.reportAfter,
      onReport: (message) => console.error(message),
    };
    // Earlier than the coordinator would count all ranks as lost, which wait in the same sum.
    const sumTimeoutMs = SUM_SHARE * 1000 * config.liveness.stallAfter;
    const ends = AbortSignal.any([signal, superseded]);
    const own = placeOnHost({ rank, worldSize }, hosts?.ranks);
    // The link stays when the command that opens it is over.
    using opening = abortedBy(superseded);
    const between = hosts && await openHostLink({
      ...{ run: link.run, generation, ranks: hosts.ranks },
      signal: AbortSignal.any([signal, opening.signal]),
      ...{ host: own.host, rank: own.rank, dtype: wire.dtype },
      floats: vectorBytes / Float32Array.BYTES_PER_ELEMENT,
      gradientFloats: gradientBytes / Float32Array.BYTES_PER_ELEMENT,
      servers: serversOf(hosts, own.host),
    });
    this.#between = between ?? undefined;
    const { buffers, ...exchange } = await openExchange(
      link,
      {
        ...{ rank: own.rank, worldSize: own.worldSize },
        ...{ vectorBytes, regions, wire, hangs, sumTimeoutMs },
        ...(between ? { hosts: between } : {}),
      },
      segments?.[own.host],
      ncclWish(config, engine.device, ends),
    ).catch((error) => {
      // What the user asks for has worked in the generation before.
      const isNew = generation > 0 && error instanceof UsageError;
      throw isNew ? new ExchangeError(error.message, { cause: error }) : error;
    });
    this.#exchange = { ...exchange, buffers };
    if (this.#hasState) state.move(buffers);
    else state.attach(buffers);
    const { name, fallback } = exchange;
    return { name, ...(fallback === undefined ? {} : { fallback }) };
  }

  /** Leaves the exchange; what a step that was broken off has done is forgotten. */
  async pause(): Promise<z.input<typeof pausedSchema>> {
    await this.close(true);
    this.#options.state.restore();
    const held = this.#held;
    return {
      hasState: this.#hasState,
      held: held ? { epoch: held.epoch, steps: held.steps } : null,
    };
  }

  /** The worker has a state now, which holds some steps; what it held before is gone. */
  loaded(held: z.output<typeof loadStateSchema>): void {
    this.#hasState = true;
    this.#held = held ?? undefined;
  }

  /** Counts the steps of an epoch that the state holds, from those that are done on. */
  counting({ epoch, steps }: EpochSteps): Required<Pick<StepObserver, "onCommit" | "onEnd">> {
    this.#held = { epoch, steps };
    let hasChanged = false;
    return {
      onCommit: () => hasChanged = true,
      onEnd: (step) => {
        this.#held = { epoch, steps: step + 1, hasChanged };
        hasChanged = false;
      },
    };
  }

  /**
   * Takes the last step back, where the state holds one more than it is to.
   *
   * @param to The steps that it is to hold; null where the ranks weren't training
   * @throws {LockstepError} when it holds neither as many nor one more
   */
  hold(to: EpochSteps | null): void {
    const held = this.#held;
    // Of another epoch: the command to train in this one has not reached this rank.
    if (!to || held?.epoch !== to.epoch || held.steps === to.steps) return;
    if (held.steps !== to.steps + 1 || held.hasChanged === undefined) {
      const { rank } = this.#options.place;
      throw new LockstepError(
        `Rank ${rank} holds ${held.steps} steps of epoch ${held.epoch}, and is to hold ${to.steps}`,
      );
    }
    if (held.hasChanged) this.#options.state.uncommit();
    this.#held = to;
  }

  /**
   * Closes the exchange, if there is one.
   *
   * @param alone As of `GradientExchange.close`
   */
  async close(alone = false): Promise<void> {
    await this.#exchange?.exchange.close(alone);
    this.#exchange = undefined;
    await this.#between?.close();
    this.#between = undefined;
  }
}
