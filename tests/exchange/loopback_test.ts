import { HOST_EXCHANGES } from "../support/exchanges.ts";
import { LocalBus } from "../support/local_link.ts";
import { type OpenLinks, testContract } from "./contract.ts";

const openLinks: OpenLinks = () => {
  const bus = new LocalBus();
  return Promise.resolve({
    open: () => Promise.resolve(bus.link()),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
};

// The exchanges of the product too: here they need no server. The one by NCCL is tested over fake GPUs.
for (const name of ["loopback", ...HOST_EXCHANGES] as const) {
  if (name !== "shared-memory") testContract(name, "a bus in this process", openLinks);
}
// In shared memory each rank adds up its shard of the vectors, or all of them where they are short.
testContract("shared-memory", "whole sums", openLinks, { maxWholeBytes: Infinity });
testContract("shared-memory", "shards of the sum", openLinks, { maxWholeBytes: 0 });
