/**
 * The contract's tests for ranks that compute on a GPU, all of them on the only one: run by `deno test` on a fake
 * machine.
 *
 * @module
 */
import { openEngine } from "../../src/engine/engine.ts";
import { LocalBus } from "../support/local_link.ts";
import { type OpenLinks, testContract } from "./contract.ts";

await openEngine({ device: "gpu" });

const openLinks: OpenLinks = () => {
  const bus = new LocalBus();
  return Promise.resolve({
    open: () => Promise.resolve(bus.link()),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
};

// What isn't about vectors is the same code as on the CPU.
const shards = { maxWholeBytes: 0 };
testContract("shared-memory", "shards", openLinks, shards, ["sums", "nonFinite", "order", "ends"]);
testContract("shared-memory", "whole sums", openLinks, { maxWholeBytes: Infinity }, ["sums"]);
testContract("nats", "a bus in this process", openLinks, {}, ["sums"]);
