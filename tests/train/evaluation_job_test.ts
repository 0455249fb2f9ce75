import assert from "node:assert/strict";
import { validateConfig } from "../../src/config/load.ts";
import { openEngine } from "../../src/engine/engine.ts";
import type { Json } from "../../src/protocol/large_json.ts";
import { buildReplica } from "../../src/train/build_replica.ts";
import { buildScorer, exportParameters, importParameters } from "../../src/train/build_scorer.ts";
import {
  type EvaluationJob,
  evaluationJobJson,
  parseEvaluationJob,
} from "../../src/train/evaluation_job.ts";
import { jobJson, parseJob } from "../../src/train/job.ts";

const RUN = validateConfig({
  name: "run",
  workers: 2,
  model: { name: "plain_cnn", weights: "none" },
  data: { root: "images", train: [{ CenterCrop: 16 }], val: [{ CenterCrop: 16 }] },
  train: { epochs: 1, batchSize: 8 },
});
const { seed, workers, model, data, validate, engine } = RUN;

const JOB: EvaluationJob = {
  config: { seed, workers, model, data, validate, engine },
  loss: { loss: "crossEntropy", labelSmoothing: 0.125 },
  batchSize: 32,
  evaluation: { split: "val", classes: ["a", "b", "c"] },
  root: "images",
  fingerprint: "f",
  numClasses: 3,
  classWeights: [1, 2, 0.5],
  verbose: false,
};

Deno.test("an evaluation's job crosses the wire, and holds nothing of training", () => {
  const sent: Json = JSON.parse(JSON.stringify(evaluationJobJson(JOB)));
  const job = parseEvaluationJob(sent)!;
  assert.deepEqual(JSON.parse(JSON.stringify(job)), sent);
  assert.deepEqual(
    Object.keys(job.config).sort(),
    ["data", "engine", "model", "seed", "validate", "workers"],
  );
  const withTraining = { ...sent as Record<string, Json>, config: JSON.parse(JSON.stringify(RUN)) };
  assert.throws(() => parseEvaluationJob(withTraining), /unrecognized_keys/);
  assert.throws(() => parseJob(sent), /unrecognized_keys/);
  const common = { root: "images", fingerprint: "f", numClasses: 3, verbose: false };
  const training = JSON.parse(JSON.stringify(jobJson({ config: RUN, ...common })));
  assert.equal(parseEvaluationJob(training), undefined);
});

Deno.test("a scorer takes over another's weights, and scores to the bit as a replica that trains", async () => {
  await openEngine();
  const { classWeights, numClasses } = JOB;
  const train = { ...RUN.train, labelSmoothing: 0.125 };
  using replica = await buildReplica({ ...RUN, train }, {
    numClasses,
    classWeights: classWeights!,
  });
  using fresh = await buildScorer({ ...JOB, config: { ...JOB.config, seed: 7 } });
  const images = Float32Array.from({ length: 4 * 16 * 16 * 3 }, (_, index) => Math.sin(index));
  const batch = { images, labels: Int32Array.of(0, 1, 2, 1), height: 16, width: 16 };
  const wanted = await replica.evaluate(batch);
  assert.notDeepEqual(await fresh.evaluate(batch), wanted);
  importParameters(fresh, exportParameters(replica));
  assert.deepEqual(await fresh.evaluate(batch), wanted);
  assert.deepEqual(exportParameters(fresh), exportParameters(replica));
  assert.throws(
    () => importParameters(fresh, new Uint8Array(8)),
    /^RangeError: State has 8 bytes, expected \d+$/,
  );
});
