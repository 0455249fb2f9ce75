import assert from "node:assert/strict";
import { join } from "node:path";
import { train } from "../../mod.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { readCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, relativeDifference, tinyConfig } from "../support/tiny_run.ts";

const DTYPES = ["float32", "float16", "bfloat16"] as const;

Deno.test("runs with narrow gradients learn as float32 runs do, and give the same bits twice", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const trained = async (gradientDtype: (typeof DTYPES)[number]) => {
      const { folder, history } = await train(tinyConfig(root, {
        workers: 2,
        exchange: "nats",
        nats: { gradientDtype },
        train: { epochs: 7, momentum: 0.9, weightDecay: 1e-3 },
      }));
      return { ...await lastState(folder), losses: history.epochs.map(({ train }) => train.loss) };
    };
    const exact = await trained("float32");
    assert.ok(exact.losses[6] < 0.9 * exact.losses[0], "it learns");
    for (const [dtype, furthest] of [["float16", 2e-3], ["bfloat16", 2e-2]] as const) {
      const [first, second] = [await trained(dtype), await trained(dtype)];
      assert.deepEqual(second.sha256, first.sha256);
      assert.deepEqual(second.losses, first.losses);
      const difference = relativeDifference(first.model, exact.model);
      assert.ok(difference > 0, `${dtype} gave float32's bits: nothing was narrowed`);
      assert.ok(difference < furthest, `the parameters differ by ${difference} with ${dtype}`);
      first.losses.forEach((loss, epoch) => {
        const off = Math.abs(loss - exact.losses[epoch]) / exact.losses[epoch];
        assert.ok(off < furthest, `${dtype}, epoch ${epoch + 1}: ${loss}, ${exact.losses[epoch]}`);
      });
    }
  }));

Deno.test("running statistics travel as float32 whatever the gradients do", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root, { classes: ["a", "b"], train: 4, val: 1, side: 32 });
    const states = [];
    for (const gradientDtype of ["float32", "bfloat16"] as const) {
      const { folder } = await train(tinyConfig(root, {
        model: { name: "resnet18", weights: "none" },
        workers: 2,
        exchange: "nats",
        nats: { gradientDtype },
        train: { epochs: 1, batchSize: 8, lr: 0.01 }, // one step
      }));
      const { model } = await readCheckpoint(join(folder, "checkpoints", "last"));
      states.push(new Map([...model].map(([name, { data }]) => [name, data.slice()])));
    }
    const [exact, narrow] = states;
    let [statistics, changed] = [0, 0];
    for (const [name, data] of narrow) {
      if (/\.running_(mean|var)$/.test(name)) {
        assert.deepEqual(data, exact.get(name), name);
        statistics++;
      } else if (!exact.get(name)!.every((byte, index) => byte === data[index])) changed++;
    }
    assert.equal(statistics, 40);
    assert.ok(changed > 40, `only ${changed} parameters differ from float32's`);
  }));

Deno.test("a gradient too large for float16 ends the run, naming rank, step and cure", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const { data } = tinyConfig(root);
    // Pixels of up to a million: the gradients of the first layer are as large, but finite.
    const transforms = [{ CenterCrop: 20 }, {
      Normalize: { mean: [0.5, 0.5, 0.5], std: [5e-7, 5e-7, 5e-7] },
    }];
    const config = (gradientDtype: (typeof DTYPES)[number]) =>
      tinyConfig(root, {
        data: { ...data, train: transforms, val: transforms },
        workers: 2,
        exchange: "nats",
        nats: { gradientDtype },
        train: { epochs: 1, lr: 1e-12 },
      });
    await assert.rejects(train(config("float16")), {
      name: "LockstepError",
      message:
        /^Gradients of rank \d have values too large for float16 \(at most 65504\) in epoch 1, step 0, no update was made: set nats\.gradientDtype to bfloat16 or float32, or lower train\.lr \(1e-12\)$/,
    });
    const { history } = await train(config("bfloat16"));
    assert.ok(Number.isFinite(history.epochs[0].train.loss), "the cure works");
  }));

Deno.test("a narrow dtype that shared memory doesn't use is told", {
  ignore: Deno.build.os !== "linux",
}, () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const warnings: string[] = [];
    const reporter = { ...silentReporter(), warn: (line: string) => void warnings.push(line) };
    const config = tinyConfig(root, {
      workers: 2,
      nats: { gradientDtype: "bfloat16" },
      train: { epochs: 1 },
    });
    await train(config, { reporter });
    const notices = warnings.filter((line) => line.includes("gradientDtype"));
    assert.deepEqual(notices, [
      "nats.gradientDtype is bfloat16, but gradients go through shared memory as float32: " +
      "set exchange to nats to send them as it says",
    ]);
  }));
