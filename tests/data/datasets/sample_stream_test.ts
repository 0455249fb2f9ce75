import assert from "node:assert/strict";
import { SampleStream } from "../../../src/data/datasets/sample_stream.ts";

type Parts = ConstructorParameters<typeof SampleStream>;

/** A stream of numbers, and what happens to it. */
function numbers(length: number, given = length) {
  const log: string[] = [];
  const samples = {
    length,
    async *stream({ epoch }: { epoch: number }) {
      log.push(`begin ${epoch}`);
      try {
        for (let index = 0; index < given; index++) yield { image: 100 * epoch + index, label: 0 };
      } finally {
        log.push("end");
      }
    },
  } as unknown as Parts[0];
  const module = { url: "file:///data.ts" } as Parts[1];
  return {
    log,
    stream: new SampleStream(samples, module, { split: "train" } as unknown as Parts[2]),
  };
}

/** The image of a sample, here a number. */
const imageAt = async (stream: SampleStream, index: number, epoch: number) =>
  (await stream.at(index, epoch)).image as unknown as number;

Deno.test("SampleStream goes on from where it stands, and begins again for an earlier place or another epoch", async () => {
  const { stream, log } = numbers(5);
  assert.deepEqual([await imageAt(stream, 0, 1), await imageAt(stream, 2, 1)], [100, 102]);
  assert.deepEqual(log, ["begin 1"]);
  assert.equal(await imageAt(stream, 1, 1), 101);
  assert.equal(await imageAt(stream, 0, 2), 200);
  assert.deepEqual(log, ["begin 1", "end", "begin 1", "end", "begin 2"]);
  const both = await Promise.all([imageAt(stream, 3, 2), imageAt(stream, 4, 2)]);
  assert.deepEqual(both, [203, 204]);
  stream.close();
});

Deno.test("SampleStream says where a stream ends too early", async () => {
  const { stream } = numbers(5, 2);
  await assert.rejects(
    stream.at(3, 1),
    /The stream of train samples of file:\/\/\/data\.ts ended after 2, but its length is 5/,
  );
});
