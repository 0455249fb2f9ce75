import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { scanModule } from "../../../src/data/datasets/scan_module.ts";
import { Loader } from "../../../src/data/loading/loader.ts";
import { LoaderThreads } from "../../../src/data/loading/loader_threads.ts";
import { planEpoch } from "../../../src/data/loading/sampler.ts";
import { floatsFrom } from "../../../src/data/transforms/byte_images.ts";
import { transformsSchema } from "../../../src/data/transforms/transform_specs.ts";
import { TransformPipeline } from "../../../src/data/transforms/transforms.ts";
import { openEngine } from "../../../src/engine/engine.ts";

const LENGTH = 12;
const PIPELINE = new TransformPipeline(transformsSchema.parse([
  { RandomResizedCrop: 8 },
  "RandomHorizontalFlip",
]));
const GREY = `{ width: 9, height: 7, data: new Uint8Array(63).map((_, at) => at * 3 + index) }`;

/** The text of a module with `inThreads`. */
function moduleOf(image: string, extra = ""): string {
  return `${extra}
    const samples = {
      length: ${LENGTH},
      labels: Array.from({ length: ${LENGTH} }, (_, index) => index % 2),
      sample: async (index) => {
        await new Promise((resolve) => setTimeout(resolve, index % 3));
        return { image: ${image} };
      },
    };
    export const createDataset = () =>
      ({ classes: ["a", "b"], train: samples, val: samples, inThreads: true });`;
}

/** The images and labels of an epoch's rows, or the error that ends it. */
async function epoch(
  text: string,
  count: number,
  hooks: Parameters<typeof scanModule>[1] = { seed: 7, maxPixels: 10_000 },
) {
  await openEngine();
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "data.ts");
    await Deno.writeTextFile(path, text);
    const { source, train } = await scanModule(pathToFileURL(path).href, hooks);
    using _source = source;
    await using threads = new LoaderThreads(Math.max(count, 1));
    const loader = new Loader({
      source,
      samples: train,
      pipeline: PIPELINE,
      onError: "skip",
      prefetch: 2,
      ...(count > 0 ? { threads } : {}),
    });
    const plan = planEpoch({
      ...{ length: LENGTH, globalBatch: 5, rank: 0, worldSize: 1, seed: 1, epoch: 0 },
      shuffle: true,
    });
    const rows: unknown[] = [];
    try {
      for await (const batch of loader.batches(plan, 0, { seed: 1 })) {
        const { labels, skipped } = batch;
        const reasons = skipped.map(({ path, reason }) => [path, reason.replace(folder, "")]);
        rows.push([floatsFrom(batch.images).join(), labels.join(), reasons]);
      }
    } catch (error) {
      return String(error);
    }
    return rows;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a module with inThreads gives the same bits and skips the same samples in threads", async () => {
  for (const image of [GREY, `index === 4 ? index.missing.this : ${GREY}`]) {
    const own = await epoch(moduleOf(image), 0);
    assert.equal((own as unknown[]).length, 3);
    for (const count of [1, 3]) assert.deepEqual(await epoch(moduleOf(image), count), own);
  }
});

Deno.test("a module in threads that can't do as it says ends the epoch in a sentence", async () => {
  const floats = `{ width: 8, height: 8, data: new Float32Array(192) }`;
  assert.match(
    await epoch(moduleOf(floats), 2) as string,
    /train#\d+ is an image of floats, which a loader thread can't hand over: give bytes/,
  );
  const inAll = `if (typeof self.close === "function" && self.name === "loader") Deno.exit(3);`;
  assert.match(
    await epoch(moduleOf(GREY, inAll), 2) as string,
    /Deno\.exit\(3\) was called: a module must not end its worker/,
  );
  const otherwise = `export default 1; const words = self.name === "loader" ? ["c"] : [];`;
  const changing = moduleOf(GREY, otherwise).replace(`["a", "b"]`, `["a", "b", ...words]`);
  assert.match(
    await epoch(changing, 2) as string,
    /createDataset of file:.* gives other samples in a loader thread than before/,
  );
});

Deno.test("a sample that a module is slow to make in a thread is named", async () => {
  const made = new Set<number | undefined>();
  const slow =
    `index === 8 ? (await new Promise((resolve) => setTimeout(resolve, 1800)), ${GREY}) : ${GREY}`;
  const hooks = {
    ...{ seed: 7, maxPixels: 10_000 },
    onMaking: (index: number | undefined) => made.add(index),
  };
  assert.equal((await epoch(moduleOf(slow), 2, hooks) as unknown[]).length, 3);
  assert.ok(made.has(8), [...made].join());
});
