import { TESTED_EXCHANGES, type TestedExchange } from "../support/exchanges.ts";
import { LocalBus } from "../support/local_link.ts";
import { testContract } from "./contract.ts";

// The exchanges of the product too: here they need no server.
for (const name of Object.keys(TESTED_EXCHANGES) as TestedExchange[]) {
  testContract(name, "a bus in this process", () => {
    const bus = new LocalBus();
    return Promise.resolve({
      open: () => Promise.resolve(bus.link()),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  });
}
