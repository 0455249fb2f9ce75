/**
 * Data modules that misbehave: what a sample, a stream or a length must not be.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { messageOf } from "../../src/base/errors.ts";
import { Loader } from "../../src/data/loading/loader.ts";
import { planEpoch } from "../../src/data/loading/sampler.ts";
import { scanModule } from "../../src/data/datasets/scan_module.ts";
import { TransformPipeline } from "../../src/data/transforms/transforms.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import type { Case } from "./case.ts";

const SIDE = 24;

/** A data set of two classes whose 38th sample is `odd`; `change` may replace parts of `train`. */
const moduleWith = (odd: string, change = "") => `
const image = (v) => ({ width: ${SIDE}, height: ${SIDE}, data: new Uint8Array(${
  SIDE * SIDE
}).fill(v % 255) });
const train = {
  length: 64,
  sample: (i) => { if (i === 37) { ${odd} } return { image: image(i), label: i % 2 }; },
};
const { sample } = train;
${change}
export const createDataset = () => ({ classes: ["standing", "lying"], train, val: { length: 4, sample } });
`;

const stream = (body: string) =>
  `delete train.sample; train.stream = async function* () { ${body} };`;

/** Name, code of the sample, words of the error, code that changes `train`. */
const ROWS: [name: string, odd: string, words: RegExp, change?: string][] = [
  [
    "throw",
    "throw new Error('disk of sample is gone');",
    /sample\(37\) of .*data\.ts:\d+:\d+ threw: disk of sample is gone/,
  ],
  ["throw a text", "throw 'text';", /sample\(37\) of .* threw: text/],
  ["return nothing", "return undefined;", /its label is undefined, which is neither 0 to 1 nor/],
  [
    "a label too high",
    "return { image: image(1), label: 7 };",
    /its label is 7, which is neither 0 to 1 nor/,
  ],
  [
    "a label that is NaN",
    "return { image: image(1), label: NaN };",
    /its label is NaN, which is neither/,
  ],
  [
    "an unknown class",
    "return { image: image(1), label: 'sitting' };",
    /its label is "sitting", which is neither/,
  ],
  [
    "too few pixels",
    "return { image: { width: 24, height: 24, data: new Uint8Array(10) }, label: 0 };",
    /its 10 values are not 24 × 24 pixels/,
  ],
  [
    "an image of no size",
    "return { image: { width: 0, height: 0, data: new Uint8Array(0) }, label: 0 };",
    /its image is neither/,
  ],
  [
    "a short stream",
    "",
    /ended after 40, but its length is 64/,
    stream("for (let i = 0; i < 40; i++) yield { image: image(i), label: i % 2 };"),
  ],
  [
    "a stream that throws",
    "",
    /stream of train samples, at 50, .*threw: stream broke/,
    stream(
      "for (let i = 0; ; i++) { if (i === 50) throw new Error('stream broke'); yield { image: image(i), label: i % 2 }; }",
    ),
  ],
  ["no length", "", /has the length 0: give the number of its samples/, "train.length = 0;"],
  [
    "half a sample",
    "",
    /has the length 10\.5: give the number of its samples/,
    "train.length = 10.5;",
  ],
];

/** Reads all training samples of a module. */
async function readAll(text: string): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const path = join(folder, "data.ts");
    await Deno.writeTextFile(path, text);
    const set = await scanModule(pathToFileURL(path).href, { seed: 0, maxPixels: 1e6 });
    const pipeline = new TransformPipeline([{ CenterCrop: { size: [SIDE, SIDE] } }]);
    const loader = new Loader({
      ...{ source: set.source, samples: set.train, pipeline, onError: "fail", prefetch: 2 },
    });
    const plan = planEpoch({
      ...{ length: set.train.length, globalBatch: 8, rank: 0, worldSize: 1, seed: 0, epoch: 1 },
      shuffle: false,
    });
    for await (const batch of loader.batches(plan, 1, { seed: 0 })) {
      assert.equal(batch.skipped.length, 0);
    }
  });
}

export const CASES: readonly Case[] = [
  {
    name: "a module that does nothing odd",
    must: "is read",
    run: () => readAll(moduleWith("")),
  },
  ...ROWS.map(([name, odd, words, change]): Case => ({
    name,
    must: "one sentence that names the sample and what is wrong",
    run: () =>
      assert.rejects(readAll(moduleWith(odd, change)), (error) => {
        assert.match(messageOf(error), words);
        return true;
      }),
  })),
];
