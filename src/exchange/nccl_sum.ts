/**
 * The sum of the ranks' vectors by NCCL, on a stream of our own: each rank's values are multiplied by its share of the
 * weight on the way.
 *
 * @module
 */
import { faultPoint } from "../base/fault_point.ts";
import { type FloatRange, overlap } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import type {
  AllReduce,
  Communicator,
  NcclWaitOptions,
} from "../engine/binding/nccl_communicator.ts";
import type { SumStream } from "../engine/nccl_device.ts";
import type { SumWeights } from "./totals.ts";

const FLOAT_BYTES = 4;

/** The memory of a rank's sums. */
export interface NcclSumOptions {
  readonly communicator: Communicator;
  readonly stream: SumStream;
  /** Address of this rank's vector. */
  readonly vector: bigint;
  /** Address of the sum. */
  readonly sum: bigint;
  /** Length of both. */
  readonly floats: number;
  /** Floats of the vector that are gradients; running statistics follow. */
  readonly gradientFloats: number;
  /** Most bytes of gradients that are summed at once, where sums begin before the vector is whole. */
  readonly bucketBytes?: number | undefined;
}

/** A part of the vector that is summed by one operation. */
interface Bucket extends FloatRange {
  readonly kind: keyof SumWeights;
}

/**
 * The operations of one step after the other. All ranks issue the same operations in the same order, with a factor of 0
 * where they have nothing to add; and operations of the same kind: NCCL chooses its algorithm by kind.
 */
export class NcclSum {
  readonly #options: NcclSumOptions;
  readonly #buckets: readonly Bucket[];
  /** Buckets of the current step that are enqueued. */
  #begun = 0;

  constructor(options: NcclSumOptions) {
    this.#options = options;
    this.#buckets = bucketsOf(options);
  }

  /** Number of operations of a step. */
  get operations(): number {
    return this.#buckets.length;
  }

  /**
   * Enqueues the buckets that begin at `ready` or behind it, as far as they aren't.
   *
   * @param ready The vector is final from this float on
   */
  async begin(weights: SumWeights, ready: number, options: NcclWaitOptions): Promise<void> {
    const { communicator, stream } = this.#options;
    const first = this.#begun;
    while (this.#buckets[this.#begun] && itemAt(this.#buckets, this.#begun).begin >= ready) {
      this.#begun++;
    }
    if (this.#begun === first) return;
    const sums = this.#buckets.slice(first, this.#begun).map((bucket) =>
      this.#sum(weights, bucket)
    );
    await communicator.allReduce(sums, stream.handle, options);
  }

  /** Enqueues what is left of the step, and waits until the whole sum is there. */
  async finish(weights: SumWeights, options: NcclWaitOptions): Promise<void> {
    const { communicator, stream } = this.#options;
    faultPoint("between-chunks"); // the other ranks wait in NCCL
    await this.begin(weights, 0, options);
    this.#begun = 0;
    await communicator.completed(stream.done(), "the sum of the gradients", options);
  }

  #sum(weights: SumWeights, { begin, end, kind }: Bucket): AllReduce {
    const { communicator, stream, vector, sum } = this.#options;
    const at = (address: bigint) => address + BigInt(FLOAT_BYTES * begin);
    const factor = itemAt(weights[kind], communicator.rank);
    // What doesn't count may be anything: 0 times NaN is NaN.
    if (factor === null) stream.clear(at(vector), FLOAT_BYTES * (end - begin));
    return { from: at(vector), to: at(sum), floats: end - begin, factor: factor ?? 0 };
  }
}

/** From the end of the vector to its beginning, as the backward pass makes the gradients. */
function bucketsOf({ floats, gradientFloats, bucketBytes }: NcclSumOptions): Bucket[] {
  const buckets: Bucket[] = [{ begin: gradientFloats, end: floats, kind: "statistics" }];
  const most = bucketBytes === undefined
    ? gradientFloats
    : Math.max(1, Math.floor(bucketBytes / FLOAT_BYTES));
  for (let end = gradientFloats; end > 0; end -= most) {
    const { begin } = overlap({ begin: end - most, end }, { begin: 0, end });
    buckets.push({ begin, end, kind: "gradients" });
  }
  return buckets.filter(({ begin, end }) => end > begin);
}
