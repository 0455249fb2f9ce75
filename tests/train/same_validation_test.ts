import assert from "node:assert/strict";
import { join } from "node:path";
import { evaluate, loadCheckpoint, predict, train } from "../../mod.ts";
import { evaluateRun } from "../../src/evaluation/evaluate_run.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { assertNear as near, CLASSES, TRANSFORMS } from "../support/odd_validation.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

Deno.test("validation, evaluate, the library and predict agree on the same images", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { classes: CLASSES, train: 6, val: 4, side: 44 });
    const { folder: run, history } = await train({
      name: "same",
      out: join(folder, "runs"),
      workers: 1,
      model: { name: "plain_cnn", weights: "none" },
      data: { root, train: TRANSFORMS, val: TRANSFORMS },
      train: { epochs: 1, batchSize: 9, lr: 0.02 },
    });
    const { loss, accuracy } = history.epochs[0].validation;
    await openEngine();

    const { record } = await evaluateRun({ run }, {
      out: join(folder, "evaluation"),
    });
    near(record.loss, loss);
    assert.equal(record.accuracy, accuracy);

    const best = join(run, "checkpoints", "best");
    const elsewhere = join(folder, "copy");
    await Deno.mkdir(elsewhere);
    for (const file of ["checkpoint.json", "model.safetensors"]) {
      await Deno.copyFile(join(best, file), join(elsewhere, file));
    }
    const images = CLASSES.flatMap((name) =>
      [0, 1, 2, 3].map((n) => `${root}/val/${name}/${n}.jpg`)
    );
    for (const checkpoint of [best, elsewhere]) {
      const { model } = await loadCheckpoint(checkpoint);
      for (const place of [root, join(root, "val")]) {
        const result = await evaluate(model, place);
        assert.equal(result.count, 12);
        near(result.loss, loss);
        assert.equal(result.accuracy, accuracy);
      }
      const zebra = join(folder, "zebra");
      await Deno.mkdir(join(zebra, "zebra"), { recursive: true });
      await Deno.copyFile(images[0], join(zebra, "zebra", "0.jpg"));
      await assert.rejects(evaluate(model, zebra), /classes that the model doesn't know, "zebra"/);
      const lightOnly = join(folder, "fewer");
      await Deno.mkdir(join(lightOnly, "light"), { recursive: true });
      await Deno.copyFile(images[4], join(lightOnly, "light", "0.jpg"));
      const fewer = await evaluate(model, lightOnly);
      assert.deepEqual([fewer.count, fewer.missing], [1, ["dark", "middle"]]);
      assert.deepEqual(fewer.confusion!.map((row) => row.reduce((a, b) => a + b)), [0, 1, 0]);
      const refusal = await evaluate(model, lightOnly, { split: "val" }).then(String, String);
      assert.match(refusal, /leave the option split out$/);
      let sum = 0;
      let right = 0;
      for await (const result of predict(checkpoint, images, { top: 3 })) {
        assert.ok("predictions" in result);
        const own = result.path.split("/").at(-2);
        sum -= Math.log(result.predictions.find((one) => one.class === own)!.probability);
        right += Number(result.predictions[0].class === own);
      }
      near(sum / 12, loss);
      assert.equal(right / 12, accuracy);
      model.dispose();
    }
  }));
