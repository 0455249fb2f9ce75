import assert from "node:assert/strict";
import { TimeShare } from "../../src/coordinator/listeners/time_share.ts";

Deno.test("TimeShare runs the first time, and then as often as its share allows", async () => {
  let now = 0;
  const share = new TimeShare(0.05, () => now);
  let ran = 0;
  for (let epoch = 0; epoch < 1000; epoch++) {
    now += 100;
    await share.spend(() => {
      ran++;
      now += 50;
      return Promise.resolve();
    });
    if (epoch === 0) assert.equal(ran, 1);
  }
  // 5 % of about 105,000 ms, 50 ms each.
  assert.ok(ran > 90 && ran < 115, `${ran} times`);
});
