/**
 * A rank's end of an exchange within one process: the coordinator's end reads the vectors where they stand.
 *
 * @module
 */
import { type FloatRange, shardOf } from "../../src/base/float_range.ts";
import {
  type ExchangeLink,
  type Missing,
  RankEnd,
  type RankEndOptions,
  resultOf,
  type VectorFormat,
} from "../../src/exchange/rank_end.ts";
import { ownBuffers, type RankShape, type StepBuffers } from "../../src/exchange/step_buffers.ts";

/** The vectors of all ranks and their sum, by the subjects of the run: the memory of the process. */
export const VECTORS = new WeakMap<object, { sum: Uint8Array; readonly ranks: Uint8Array[] }>();

/** Makes a rank's buffers. */
export function makeBuffers(shape: RankShape): StepBuffers {
  return ownBuffers(shape);
}

/** Opens a rank's end. */
export async function openExchange(
  link: ExchangeLink,
  options: RankEndOptions,
): Promise<LoopbackExchange> {
  return await LoopbackExchange.open(link, options);
}

/** All-reduce within one process, under `LoopbackReducer`. */
export class LoopbackExchange extends RankEnd<undefined> {
  protected override readonly format: VectorFormat;
  readonly #shards: readonly FloatRange[];

  private constructor(link: ExchangeLink, options: RankEndOptions) {
    super(link, options);
    const { rank, worldSize, vectorBytes: bytes } = options;
    this.format = { bytes, chunkBytes: 0, dtype: "float32", narrowBytes: 0 };
    this.#shards = Array.from({ length: worldSize }, (_, rank) => shardOf(rank, worldSize, bytes));
    VECTORS.get(link.subjects)!.ranks[rank] = this.vector;
  }

  /** As {@linkcode openExchange}. */
  static async open(link: ExchangeLink, options: RankEndOptions): Promise<LoopbackExchange> {
    return await new LoopbackExchange(link, options).open();
  }

  protected override listen() {
    return this.link.subscribe(this.link.subjects.reduced, {
      result: (message) => {
        const phase = this.contributingTo(message.header);
        if (!phase) return;
        const result = resultOf(message);
        this.reduced.set(VECTORS.get(this.link.subjects)!.sum);
        this.finishSum(phase, result, result.finite ? this.#shards : []);
      },
    });
  }

  protected override begin(): undefined {}

  protected override contribute(): void {}

  protected override missing(): Missing {
    return { chunks: [], totals: true };
  }

  protected override onMissing(): void {}
}
