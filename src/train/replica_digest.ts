/**
 * A number that stands for the bits of a replica's parameters and running statistics.
 *
 * @module
 */
import { bitSum } from "../engine/bit_sums.ts";
import { CapturedFunction } from "../engine/capture/capture.ts";
import { tf } from "../engine/tf.ts";
import { readAsync } from "../engine/transfer.ts";

/** Elements up to which tensors are summed together: the ops of many small ones would take longer than their bits. */
const SMALL = 4096;

/** Odd, so that it has an inverse: no sum is lost by the product. */
const FACTOR = 0x9e3779b97f4a7c15n;

/** Bits of a digest, which a float64 and JSON hold exactly. */
const DIGEST_BITS = 53;

/** Computes digests of the variables of a model, where they lie. */
export class ReplicaDigest implements Disposable {
  readonly #fn: CapturedFunction;

  /** @param variables Those of the model, in an order that never changes */
  constructor(variables: () => readonly tf.Variable[]) {
    this.#fn = new CapturedFunction("digest", () => {
      const all = variables();
      const small = all.filter(({ size }) => size <= SMALL);
      const parts = all.filter(({ size }) => size > SMALL).map((variable) => bitSum(variable));
      if (small.length > 0) {
        parts.push(bitSum(tf.concat(small.map((variable) => tf.reshape(variable, [-1])))));
      }
      return [tf.stack(parts)];
    }, { variables, capture: true, random: false });
  }

  /** Returns a whole number from 1 to 2⁵³ − 1: the same for the same bits, and up to chance another one for others. */
  async compute(): Promise<number> {
    const [sums] = await this.#fn.call([]);
    const halves = await readAsync(sums!);
    sums!.dispose();
    const words = new BigUint64Array(halves.slice().buffer as ArrayBuffer);
    let digest = 0n;
    for (const word of words) digest = BigInt.asUintN(64, (digest + word) * FACTOR);
    // Folded, so that each bit of the sums counts.
    digest = BigInt.asUintN(DIGEST_BITS, digest ^ (digest >> BigInt(DIGEST_BITS)));
    return Number(digest) || 1;
  }

  [Symbol.dispose](): void {
    this.#fn.dispose();
  }
}
