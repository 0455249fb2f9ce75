import assert from "node:assert/strict";
import { LockstepError } from "../../src/base/errors.ts";
import {
  type LeftOutSample,
  SkippedFacts,
  SkippedSender,
} from "../../src/protocol/skipped_samples.ts";
import { LocalBus } from "../support/local_link.ts";

const sample = (index: number): LeftOutSample => ({
  index,
  path: `train/${index}.jpg`,
  reason: "damaged",
});
const at = (epoch: number, step: number) => ({ epoch, step });
const indices = (samples: readonly LeftOutSample[]) => samples.map(({ index }) => index);

/** A collector and its link, whose messages a test can drop and repeat. */
function startFacts() {
  const bus = new LocalBus();
  /** Copies of the next messages of each kind; 1 for all beyond them. */
  const copies: Record<string, number[]> = {};
  const sent: string[] = [];
  const link = () => {
    const link = bus.link();
    return {
      ...link,
      publish: ((subject, kind, fields) => {
        sent.push(kind);
        for (let count = copies[kind]?.shift() ?? 1; count > 0; count--) {
          link.publish(subject, kind, fields);
        }
      }) as typeof link.publish,
    };
  };
  const facts = new SkippedFacts(link());
  facts.listen();
  return { facts, link, copies, sent };
}

Deno.test("SkippedSender.send() ends when all samples are noted, and SkippedFacts gives those of a span once", async () => {
  const { facts, link, sent } = startFacts();
  const ranks = [0, 1].map((rank) => new SkippedSender(link(), { rank }));
  await ranks[1].send(at(2, 4), [sample(9)]);
  await Promise.all(ranks.map((own, rank) => own.send(at(2, 3), [sample(2 * rank), sample(rank)])));
  await ranks[0].send(at(2, 6), [sample(7)]);
  await ranks[0].send(at(3, 0), [sample(8)]);
  assert.equal(sent.filter((kind) => kind === "skippedSamples").length, 5, "one message each");
  assert.deepEqual(indices(facts.take(2, 3, 6)), [0, 0, 2, 1, 9], "by step, then by rank");
  assert.deepEqual(facts.take(2, 3, 6), []);
  assert.deepEqual(facts.take(2, 6, 7), [sample(7)]);
  assert.deepEqual(facts.take(3, 0, 9), [sample(8)]);
});

Deno.test("samples are noted once, whichever messages are lost, repeated or late", async () => {
  const { facts, link, copies, sent } = startFacts();
  const ranks = [0, 1].map((rank) => new SkippedSender(link(), { rank }));
  copies.skippedSamples = [0, 2]; // rank 0's is lost, rank 1's comes twice
  copies.noted = [0]; // the first answer to rank 1 is lost, the second comes
  await Promise.all(ranks.map((own, rank) => own.send(at(1, 0), [sample(rank)])));
  assert.deepEqual(sent.filter((kind) => kind === "skippedSamples").length, 3);
  assert.deepEqual(indices(facts.take(1, 0, 1)), [0, 1]);
  // The step is on record, and the message comes once more.
  await ranks[0].send(at(1, 0), [sample(0)]);
  assert.deepEqual(facts.take(1, 0, 2), []);
});

Deno.test("samples of many and of long names go in messages that the server lets through", async () => {
  const { facts, link } = startFacts();
  let largest = 0;
  let messages = 0;
  const own = link();
  const measured: typeof own = {
    ...own,
    maxPayloadBytes: 8_000,
    publish: (subject, kind, fields) => {
      messages++;
      largest = Math.max(largest, JSON.stringify(fields).length);
      own.publish(subject, kind, fields);
    },
  };
  const many = Array.from({ length: 700 }, (_, index) => sample(index));
  const long = { index: 700, path: "p".repeat(5_000), reason: "r".repeat(10 ** 6) };
  const wide = { index: 701, path: "q.jpg", reason: "\x07".repeat(1_999) };
  await new SkippedSender(measured, { rank: 0 }).send(at(1, 0), [...many, long, wide]);
  assert.ok(largest < 4_200, `${largest} bytes`);
  assert.ok(messages < 20, `${messages} messages`);
  const taken = facts.take(1, 0, 1);
  assert.deepEqual(taken.slice(0, 700), many);
  assert.deepEqual(taken.slice(700), [
    { index: 700, path: "p".repeat(100) + " …", reason: "r".repeat(100) + " …" },
    { ...wide, reason: "\x07".repeat(100) + " …" },
  ]);
});

Deno.test("SkippedFacts.listen() forgets the steps that are computed again, and keeps those before", async () => {
  const { facts, link } = startFacts();
  const rank = new SkippedSender(link(), { rank: 1 });
  for (const step of [0, 1, 2]) await rank.send(at(1, step), [sample(step)]);
  facts.listen(at(1, 2));
  await new SkippedSender(link(), { rank: 0 }).send(at(1, 2), [sample(5)]); // of fewer ranks
  assert.deepEqual(indices(facts.take(1, 0, 3)), [0, 1, 5]);
  // Back to a checkpoint: steps that were on record come again.
  facts.listen(at(1, 1));
  for (const step of [1, 2]) await rank.send(at(1, step), [sample(step)]);
  assert.deepEqual(indices(facts.take(1, 1, 3)), [1, 2]);
});

Deno.test("SkippedSender.send() ends with its signal, and names a coordinator that doesn't answer", async () => {
  const { facts, link } = startFacts();
  facts[Symbol.dispose]();
  const stop = new AbortController();
  const sending = new SkippedSender(link(), { rank: 1 }).send(at(2, 7), [sample(1)], stop.signal);
  stop.abort(new LockstepError("paused"));
  await assert.rejects(sending, /^LockstepError: paused$/);
  await assert.rejects(
    new SkippedSender(link(), { rank: 1 }, 30).send(at(2, 7), [sample(1)]),
    /^LockstepError: Rank 1 skips images in epoch 2, step 7, and the coordinator has not noted them for \d+ s$/,
  );
});
