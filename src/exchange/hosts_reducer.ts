/**
 * The coordinator's end of an all-reduce whose ranks are on several hosts, and sum their vectors themselves: it grants each
 * step on all hosts, and reads the records of all ranks.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { itemAt } from "../base/item_at.ts";
import { Pending } from "../base/pending.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import type { Decide, ReduceOptions, Reducer, StepTotals } from "./gradient_exchange.ts";
import type { HostMeeting, OpenMeeting, StepAction, SummedStep } from "./host_meeting.ts";
import type { ReducerEndOptions } from "./reducer_end.ts";
import { COORDINATOR_TIMEOUT_MS, noAnswerFrom } from "./silence.ts";
import { recordsIn } from "./step_record.ts";
import { addCounts, reportOf, verdictOf } from "./totals.ts";

/** The ranks of one host. */
export interface ReducedHost {
  /** Number of its ranks. */
  readonly ranks: number;
  readonly open: OpenMeeting;
}

/** The state of one host's steps. */
interface HostSteps {
  /** Missing before it is open. */
  meeting: HostMeeting | undefined;
  /** Number of its ranks, and of those on the hosts before. */
  readonly ranks: number;
  readonly firstRank: number;
  contributed: number;
  /** Steps that are summed and not reduced yet, by index. */
  readonly summed: Map<number, SummedStep>;
}

/** Grants the steps of ranks on several hosts. */
export class HostsReducer implements Reducer {
  readonly #options: ReducerEndOptions;
  readonly #hosts: readonly HostSteps[];
  #reduced = 0;
  #actions: StepAction[] = [];
  /** The wait in progress, which looks again when anything comes. */
  #look: (() => void) | undefined;
  #failure: Error | undefined;

  private constructor(options: ReducerEndOptions, hosts: readonly ReducedHost[]) {
    this.#options = options;
    let firstRank = 0;
    this.#hosts = hosts.map(({ ranks }) => {
      const steps = { ranks, firstRank, contributed: 0, summed: new Map(), meeting: undefined };
      firstRank += ranks;
      return steps;
    });
  }

  /** Opens the meetings of all hosts; the ranks join afterwards. */
  static async open(
    options: ReducerEndOptions,
    hosts: readonly ReducedHost[],
  ): Promise<HostsReducer> {
    const reducer = new HostsReducer(options, hosts);
    const opening = reducer.#hosts.map(async (steps, at) => {
      steps.meeting = await itemAt(hosts, at).open({
        onContributed: (index) => {
          steps.contributed = index + 1;
          reducer.#look?.();
        },
        onSummed: (index, step) => {
          steps.summed.set(index, step);
          reducer.#look?.();
        },
        onFailed: (error) => reducer.#fail(error),
      });
    });
    try {
      await Promise.all(opening);
    } catch (error) {
      await reducer.close();
      throw error;
    }
    return reducer;
  }

  async reduce(
    key: StepKey,
    decide: Decide,
    { signal }: ReduceOptions = {},
  ): Promise<StepTotals> {
    signal?.throwIfAborted();
    const index = this.#reduced;
    await this.#until(({ contributed }) => contributed > index, "gradients", key, signal);
    const action = decide(key);
    this.#actions[index] = action;
    for (const { meeting } of this.#hosts) meeting?.grant(action);
    await this.#until(({ summed }) => summed.has(index), "share of the sum", key, signal);
    return this.#totalsOf(index, key);
  }

  settled(key: StepKey): StepTotals | undefined {
    const index = this.#reduced;
    return this.#actions[index] !== undefined &&
        this.#hosts.every(({ summed }) => summed.has(index))
      ? this.#totalsOf(index, key)
      : undefined;
  }

  close(): Promise<void> {
    this.#fail(new LockstepError("The reducer was closed in the middle of a step"));
    for (const { meeting } of this.#hosts) meeting?.close();
    return Promise.resolve();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#look?.();
  }

  /** The totals of the next step, which all ranks have summed. */
  #totalsOf(index: number, key: StepKey): StepTotals {
    const records = this.#hosts.flatMap((host) => {
      const step = host.summed.get(index)!;
      host.summed.delete(index);
      const own = recordsIn(step.records);
      own.forEach((record, local) =>
        this.#requireSame(key, host.firstRank + local, record, itemAt(step.floats, local))
      );
      return own;
    });
    const action = itemAt(this.#actions, index);
    delete this.#actions[index];
    this.#reduced++;
    return { ...addCounts(records), ...verdictOf(records), action, ranks: records.map(reportOf) };
  }

  /** @throws {LockstepError} when a rank has another model, or is in another step */
  #requireSame(key: StepKey, rank: number, at: StepKey, floats: number): void {
    const { vectorBytes } = this.#options;
    const bytes = floats * Float32Array.BYTES_PER_ELEMENT;
    if (bytes !== vectorBytes) {
      throw new LockstepError(
        `Rank ${rank} exchanges ${bytes} bytes, the coordinator ${vectorBytes}: their models differ`,
      );
    }
    if (compareSteps(at, key) === 0) return;
    throw new LockstepError(
      `Rank ${rank} is in epoch ${at.epoch}, step ${at.step}, ` +
        `the coordinator in epoch ${key.epoch}, step ${key.step}`,
    );
  }

  /** Waits until something holds on all hosts; the time limit begins anew when anything comes from any of them. */
  async #until(
    holds: (host: HostSteps) => boolean,
    what: string,
    key: StepKey,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { timeoutMs = COORDINATOR_TIMEOUT_MS, describe } = this.#options;
    const makeError = () => {
      const ranks = this.#hosts.filter((host) => !holds(host)).flatMap(({ firstRank, ...host }) =>
        (host.meeting?.lagging?.() ?? Array.from({ length: host.ranks }, (_, rank) => rank))
          .map((rank) => firstRank + rank)
      );
      return noAnswerFrom(ranks, what, key, Math.round(timeoutMs / 1000), describe);
    };
    while (!this.#hosts.every(holds)) {
      if (this.#failure) throw this.#failure;
      const came = new Pending<void>();
      this.#look = () => came.finish();
      try {
        await came.result({ signal, timeout: { ms: timeoutMs, makeError } });
      } finally {
        this.#look = undefined;
      }
    }
    if (this.#failure) throw this.#failure;
  }
}
