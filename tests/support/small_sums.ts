/**
 * Sums of small vectors over ranks of this process.
 *
 * @module
 */
import type { GradientExchange } from "../../src/exchange/gradient_exchange.ts";

/** Returns one end per rank: each sums in rank order, as an exchange does. */
export function smallSums(worldSize: number): Pick<GradientExchange, "allReduce">[] {
  const brought = new Map<number, Float64Array>();
  let round = Promise.withResolvers<Float64Array>();
  const end = () => {
    const all = [...brought.keys()].sort((a, b) => a - b).map((rank) => brought.get(rank)!);
    const sum = new Float64Array(all[0].length);
    for (const values of all) {
      if (values.length !== sum.length) throw new Error("The ranks are at different points");
      values.forEach((value, at) => sum[at] += value);
    }
    brought.clear();
    round.resolve(sum);
    round = Promise.withResolvers();
  };
  return Array.from({ length: worldSize }, (_, rank) => ({
    allReduce: async (values: Float64Array): Promise<void> => {
      brought.set(rank, values.slice());
      const { promise } = round;
      if (brought.size === worldSize) end();
      values.set(await promise);
    },
  }));
}
