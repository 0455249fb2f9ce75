import assert from "node:assert/strict";
import { configSchema } from "../../src/config/schema.ts";
import { EXCHANGE_CHOICES, EXCHANGE_NAMES, EXCHANGES } from "../../src/exchange/registry.ts";

Deno.test("each exchange of the registry has both ends, and the config takes its name", async () => {
  assert.deepEqual(EXCHANGE_NAMES, Object.keys(EXCHANGES));
  assert.deepEqual([...EXCHANGE_CHOICES], ["auto", ...EXCHANGE_NAMES]);
  for (const name of EXCHANGE_NAMES) {
    const { makeBuffers, openExchange } = await EXCHANGES[name].rank();
    const { openReducer } = await EXCHANGES[name].reducer();
    for (const part of [makeBuffers, openExchange, openReducer]) {
      assert.equal(typeof part, "function", name);
    }
  }
  const { exchange } = configSchema.shape;
  for (const choice of EXCHANGE_CHOICES) assert.equal(exchange.parse(choice), choice);
  assert.equal(exchange.parse(undefined), "auto");
  assert.ok(!exchange.safeParse("loopback").success);
});
