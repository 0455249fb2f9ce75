import assert from "node:assert/strict";
import { mapSharedSegment } from "../../src/base/shared_memory.ts";
import { LoneExchange } from "../../src/exchange/lone_exchange.ts";
import { makeSegment } from "../../src/exchange/open_exchange.ts";
import { viewsOf } from "../../src/exchange/shared_layout.ts";
import { openReducer } from "../../src/exchange/shared_reducer.ts";
import { loneBuffers } from "../../src/exchange/step_buffers.ts";
import { contribution } from "../support/exchange_bench.ts";
import { LocalBus } from "../support/local_link.ts";

Deno.test("a rank that is alone on a GPU takes no step whose gradients it found not finite there", async () => {
  const shape = { worldSize: 1, vectorBytes: 64, regions: 1 };
  using segment = makeSegment("shared-memory", shape, assert.fail)!;
  const map = () => mapSharedSegment(segment.path, segment.bytes);
  const { meeting } = viewsOf(map(), shape);
  const buffers = { ...loneBuffers(64, 1), meeting };
  const exchange = new LoneExchange({ ...shape, rank: 0, buffers });
  const link = new LocalBus().link();
  const reducer = await openReducer(link, shape, map());
  const cases = [{ finite: true }, {}, { finite: false }, { lossSum: NaN }];
  for (const [step, what] of cases.entries()) {
    const { vector: _, ...own } = { ...contribution(0, step, 4, 16), ...what };
    const reduced = reducer.reduce({ epoch: 1, step }, () => "continue");
    await exchange.reduceScatter(own);
    const { finite, samples } = await exchange.agree(0);
    assert.deepEqual([finite, samples], [step < 2, 4]);
    const totals = await reduced;
    assert.deepEqual([totals.finite, totals.worstRank], step < 2 ? [true, undefined] : [false, 0]);
    if (finite) await exchange.allGather();
  }
  await exchange.close();
  await reducer.close();
});
