import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { boardBytes, NoticeBoard, type RoundLimits } from "../../src/exchange/notice_board.ts";
import { withoutWaiting } from "../support/at_once.ts";

const LIMITS: RoundLimits = {
  timeoutMs: 60_000,
  silence: (missing) => new Error(`nothing from ${missing}`),
};

function boards(worldSize: number): NoticeBoard[] {
  const memory = new Uint8Array(boardBytes(worldSize));
  return Array.from({ length: worldSize }, (_, rank) => new NoticeBoard(memory, rank, worldSize));
}

Deno.test("each rank of a notice board reads the texts of all, round after round, at its own pace", async () => {
  const ranks = boards(3);
  await Promise.all(ranks.map(async (board, rank) => {
    for (let round = 0; round < 20; round++) {
      await delay((7 * rank + 3 * round) % 4);
      board.post(`${round}: größe of ${rank}`);
      await delay((5 * rank + round) % 3);
      assert.deepEqual(
        await board.read(LIMITS),
        [0, 1, 2].map((other) => `${round}: größe of ${other}`),
      );
    }
  }));
});

Deno.test("a notice board tells what came early, cuts off what is too long, and ends a wait that nobody answers", async () => {
  const [first, second, third] = boards(3) as [NoticeBoard, NoticeBoard, NoticeBoard];
  first.post("ä".repeat(5_000));
  assert.deepEqual([second.early().map(({ length }) => length), first.early()], [[1_022], []]);
  second.post("");
  await withoutWaiting(60, async () => {
    await assert.rejects(first.read({ ...LIMITS, timeoutMs: 50 }), { message: "nothing from 2" });
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("told to end")), 20);
    await assert.rejects(first.read({ ...LIMITS, signal: controller.signal }), {
      message: "told to end",
    });
  });
  third.post("late");
  assert.deepEqual((await first.read(LIMITS)).slice(1), ["", "late"]);
});
