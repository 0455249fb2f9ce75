import assert from "node:assert/strict";
import { preparedAhead } from "../../src/train/prepared_batches.ts";

const pause = () => new Promise((resolve) => setTimeout(resolve, 1));

async function* numbered(count: number, log: string[], failAt = -1) {
  try {
    for (let item = 0; item < count; item++) {
      await pause();
      if (item === failAt) throw new Error(`no item ${item}`);
      log.push(`made ${item}`);
      yield item;
    }
  } finally {
    log.push("closed");
  }
}

function logged(log: string[]) {
  return {
    async prepare(item: number) {
      await pause();
      log.push(`prepared ${item}`);
    },
    finish: (item: number) => log.push(`finished ${item}`),
  };
}

Deno.test("preparedAhead() prepares an item while the one before it is in use, and asks for no more", async () => {
  const log: string[] = [];
  for await (const item of preparedAhead(numbered(3, log), logged(log))) {
    log.push(`using ${item}`);
    for (let wait = 0; wait < 10; wait++) await pause();
    log.push(`used ${item}`);
  }
  assert.deepEqual(log, [
    ...["made 0", "prepared 0", "using 0", "made 1", "prepared 1", "used 0"],
    ...["using 1", "made 2", "prepared 2", "used 1", "closed", "using 2", "used 2"],
  ]);
});

Deno.test("preparedAhead() gives what came before an error, and closes its source when it is left", async () => {
  const log: string[] = [];
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const item of preparedAhead(numbered(9, log, 2), logged(log))) seen.push(item);
  }, /no item 2/);
  assert.deepEqual(seen, [0, 1]);
  const left: string[] = [];
  for await (const _ of preparedAhead(numbered(9, left), logged(left))) break;
  assert.deepEqual(left.slice(-4), ["made 1", "prepared 1", "finished 1", "closed"]);
});
