/**
 * The coordinator's end of the all-reduce in shared memory: it touches no vector, and rules each step.
 *
 * @module
 */
import { compareSteps, type StepKey } from "../base/step_key.ts";
import type { Incoming } from "../protocol/link.ts";
import type { Fields, Header } from "../protocol/messages.ts";
import { planChunks } from "./chunks.ts";
import type { ExchangeLink } from "./rank_end.ts";
import {
  isSumming,
  ReducerEnd,
  type ReducerEndOptions,
  type ReducingStep,
  type SummingStep,
} from "./reducer_end.ts";
import type { SumWeights } from "./totals.ts";

/** The state of a sum that the ranks make, shard by shard. */
interface ShardedSum {
  /** The message that the ranks begin with. */
  readonly reduce: Fields<"reduce">;
  /** The ranks' sums of squares over their shards, once these are made. */
  readonly shards: Map<number, number>;
  /** Ranks whose shard of the regions is written. */
  readonly written: Set<number>;
}

/**
 * Subscribes to all ranks; when the promise resolves, the workers may begin.
 *
 * @throws {LockstepError} When the connection is gone
 */
export async function openReducer(
  link: ExchangeLink,
  options: ReducerEndOptions,
): Promise<SharedReducer> {
  return await SharedReducer.open(link, options);
}

/** Has the workers sum their vectors, step by step. */
export class SharedReducer extends ReducerEnd<ShardedSum> {
  readonly #vectorBytes: number;

  private constructor(link: ExchangeLink, options: ReducerEndOptions) {
    super(link, options, planChunks(0, options.worldSize, link.maxPayloadBytes));
    this.#vectorBytes = options.vectorBytes;
  }

  /** As {@linkcode openReducer}. */
  static async open(link: ExchangeLink, options: ReducerEndOptions): Promise<SharedReducer> {
    return await new SharedReducer(link, options).open();
  }

  protected override listen() {
    return this.link.subscribe(this.link.subjects.gradient("*"), {
      contribution: (message) => this.onContribution(message),
      shard: (message) => this.#onShard(message),
      written: (message) => this.#onWritten(message),
    });
  }

  protected override mismatchOf(
    { rank, bytes, chunkBytes }: Fields<"contribution">,
  ): string | undefined {
    if (bytes === this.#vectorBytes && chunkBytes === 0) return undefined;
    return `Rank ${rank} exchanges ${bytes} bytes, ` +
      `the coordinator ${this.#vectorBytes} in shared memory: their models differ`;
  }

  /** Lets the ranks add the vectors. */
  protected override beginSum(
    { epoch, step }: StepKey,
    { gradients, statistics }: SumWeights,
  ): ShardedSum {
    const weights = { weights: [...gradients], statisticsWeights: [...statistics] };
    const reduce = { epoch, step, ...weights };
    this.#publishReduce(reduce);
    return { reduce, shards: new Map(), written: new Set() };
  }

  protected override sum(step: SummingStep<ShardedSum>): void {
    const { shards } = step.phase.transfer;
    if (shards.size < this.ranks.length) return;
    this.finish(step, this.ranks.reduce((sum, { rank }) => sum + shards.get(rank)!, 0));
  }

  #publishReduce(reduce: Fields<"reduce">): void {
    this.link.publish(this.link.subjects.reduced, "reduce", reduce);
  }

  #onShard({ header: { rank, finite, worstRank, squares, ...key } }: Incoming<"shard">): void {
    const { step } = this;
    if (!step || !isSumming(step) || compareSteps(key, step) !== 0) return;
    const { shards } = step.phase.transfer;
    if (!this.ranks[rank] || shards.has(rank)) return;
    shards.set(rank, Number(squares));
    if (!finite) this.spoil(step, worstRank ?? undefined);
    this.progress();
  }

  /** A rank's shard of the regions is written: of the last step that was decided. */
  #onWritten({ header }: Incoming<"written">): void {
    const step = this.stepAt(header);
    if (step?.phase.at !== "decided" || !this.ranks[header.rank]) return;
    const { written } = step.phase.transfer;
    written.add(header.rank);
    if (this.#isGathered(written)) this.#publishGathered(step);
  }

  #isGathered(written: ReadonlySet<number>): boolean {
    return written.size === this.ranks.length;
  }

  #publishGathered({ epoch, step }: StepKey): void {
    this.link.publish(this.link.subjects.reduced, "gathered", { epoch, step });
  }

  /** A rank asks again for the message that it waits for; others may have to be asked first. */
  protected override onMissing(header: Header<"missing">): void {
    const step = this.stepAt(header);
    if (!step || step.phase.at === "collecting") return;
    const { phase } = step;
    if (phase.at === "summing") return this.#publishReduce(phase.transfer.reduce);
    this.link.publish(this.link.subjects.reduced, "result", phase.result);
    const { written } = phase.transfer;
    if (this.#isGathered(written)) return this.#publishGathered(step);
    if (written.size === 0) return;
    for (const { rank } of this.ranks) if (!written.has(rank)) this.ask(rank, step, [], true);
  }

  protected override askRanks(step: ReducingStep<ShardedSum>): void {
    for (const rank of this.awaited(step).ranks) this.ask(rank, step, [], true);
    if (isSumming(step)) this.#publishReduce(step.phase.transfer.reduce);
  }

  protected override awaited(step: ReducingStep<ShardedSum>): { ranks: number[]; what: string } {
    const all = this.ranks.map(({ rank }) => rank);
    if (isSumming(step)) {
      const { shards } = step.phase.transfer;
      return { ranks: all.filter((rank) => !shards.has(rank)), what: "share of the sum" };
    }
    const silent = this.ranks.filter((inbox) => !inbox.hasBegun(step));
    return { ranks: silent.map(({ rank }) => rank), what: "gradients" };
  }
}
