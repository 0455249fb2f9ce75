/**
 * Links between hosts that are all in this process: each host is a bench with a segment of its own.
 *
 * @module
 */
import type { FloatRange } from "../../src/base/float_range.ts";
import type { StepKey } from "../../src/base/step_key.ts";
import type { HostLink, HostRecord } from "../../src/exchange/host_link.ts";

/** A value that some wait for. */
class Slot<T> {
  readonly #made = Promise.withResolvers<T>();
  set(value: T): void {
    this.#made.resolve(value);
  }
  get value(): Promise<T> {
    return this.#made.promise;
  }
}

/** An event on the way of a sum: host, what, and the first float of the range. */
export type HostEvent = readonly [host: number, what: "added" | "total", begin: number];

/** All hosts. */
export class LocalHosts {
  readonly events: HostEvent[] = [];
  readonly #counts: readonly number[];
  readonly #slots = new Map<string, Slot<unknown>>();
  readonly #parts = new Map<string, PartialSum>();

  /** @param counts Number of the ranks of each host */
  constructor(counts: readonly number[]) {
    this.#counts = counts;
  }

  /** The links of a host's ranks. */
  linksOf(host: number): HostLink[] {
    return Array.from({ length: this.#counts[host]! }, (_, rank) => this.#link(host, rank));
  }

  #link(host: number, rank: number): HostLink {
    const firstRank = this.#counts.slice(0, host).reduce((sum, count) => sum + count, 0);
    const last = this.#counts.length - 1;
    let place = "";
    let rounds = 0;
    let agreements = 0;
    /** All hosts' values of one kind in a step; the first rank of each host speaks for it. */
    const share = async (what: string, step: StepKey, own: unknown): Promise<unknown[]> => {
      place = `${step.epoch}/${step.step}`;
      if (rank === 0) this.#slot(`${what} ${place} ${host}`).set(own);
      return await Promise.all(
        this.#counts.map((_, other) => this.#slot(`${what} ${place} ${other}`).value),
      );
    };
    const records = async (what: string, step: StepKey, own: readonly HostRecord[]) =>
      (await share(what, step, own.map(copyOf))).flat() as HostRecord[];
    return {
      ranks: this.#counts,
      firstRank,
      contributions: (step, own) => records("contributions", step, own),
      before: async (range) =>
        host === 0 ? undefined : await this.#part(`${place} ${host - 1}`).read(range),
      after: (range, sum) => {
        this.events.push([host, "added", range.begin]);
        this.#part(`${place} ${host}`).write(range, sum);
        return Promise.resolve();
      },
      total: async ({ begin, end }, sum) => {
        const total = await this.#part(`${place} ${last}`).read({ begin, end });
        if (total) sum.set(total);
        this.events.push([host, "total", begin]);
        return total !== undefined;
      },
      results: (step, own) => records("results", step, own),
      values: async (own) => {
        const round = { epoch: -1, step: rounds++ };
        const at = place;
        const all = await share("values", round, own.map((values) => values.slice()));
        place = at;
        return all.flat() as Float64Array[];
      },
      texts: async (own) => {
        const round = { epoch: -2, step: agreements++ };
        return (await share("texts", round, own)).flat() as string[];
      },
      close: () => Promise.resolve(),
    };
  }

  #slot(name: string): Slot<unknown> {
    if (!this.#slots.has(name)) this.#slots.set(name, new Slot());
    return this.#slots.get(name)!;
  }

  #part(name: string): PartialSum {
    if (!this.#parts.has(name)) this.#parts.set(name, new PartialSum());
    return this.#parts.get(name)!;
  }
}

/** A sum that comes and goes in ranges, which may be others for those who read than for those who write. */
class PartialSum {
  #values = new Float32Array(0);
  /** By float: 0 nothing has come, 1 a value, 2 nobody has a part in it. */
  #state = new Uint8Array(0);
  #changed = Promise.withResolvers<void>();

  write({ begin, end }: FloatRange, sum: Float32Array | undefined): void {
    if (this.#values.length < end) {
      const [values, state] = [new Float32Array(2 * end), new Uint8Array(2 * end)];
      values.set(this.#values);
      state.set(this.#state);
      [this.#values, this.#state] = [values, state];
    }
    if (sum) this.#values.set(sum, begin);
    this.#state.fill(sum ? 1 : 2, begin, end);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async read({ begin, end }: FloatRange): Promise<Float32Array | undefined> {
    const isWhole = () =>
      this.#state.length >= end && !this.#state.subarray(begin, end).includes(0);
    while (!isWhole()) await this.#changed.promise;
    return this.#state[begin] === 1 ? this.#values.slice(begin, end) : undefined;
  }
}

/** A record as it goes to another host. */
function copyOf(record: HostRecord): HostRecord {
  const { epoch, step, samples, weight, lossSum, correct, statisticsRows, trackedBatches } = record;
  const { times, digest, finite, worstRank, squares } = record;
  return {
    ...{ epoch, step, samples, weight, lossSum, correct, statisticsRows, trackedBatches },
    ...{ times, digest, finite, worstRank, squares },
  };
}
