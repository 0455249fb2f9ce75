import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { someGpu } from "../gpus/some_gpus.ts";
import { fakeGpuMachine } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, tinyConfig } from "../support/tiny_run.ts";

const DRIVER = { driverVersion: "570.86.10", memoryTotalBytes: 2 ** 31 };
const T4 = someGpu(0, { ...DRIVER, name: "Tesla T4", computeCapability: 7.5 });

fakeCudaTest(
  "train refuses a format that a card lacks, and trains with those that it has",
  () =>
    withTemporaryFolder(async (folder) => {
      const root = join(folder, "images");
      await makeImages(root);
      const { workers: _, ...config } = tinyConfig(root);
      const path = join(folder, "config.yaml");
      await Deno.writeTextFile(path, stringify(config));
      await using machine = await fakeGpuMachine({
        ...{ gpus: [T4], zeroResults: true, maxDelayMicros: 0 },
      });
      const train = (...settings: string[]) =>
        runCommand(
          [
            ...["train", "--config", path, "--epochs", "1"],
            ...settings.flatMap((setting) => ["--set", setting]),
          ],
          folder,
          machine.env,
        );
      // One after the other: a run holds its GPU.
      const bfloat16 = await train("engine.precision=bf16");
      const tf32 = await train("engine.precision=tf32");
      const float16 = await train("engine.precision=float16", "engine.deterministic=true");
      for (const [name, { code, stderr }] of Object.entries({ bfloat16, tf32 })) {
        assert.equal(code, 2, stderr);
        assert.match(
          stderr,
          new RegExp(
            `error: engine\\.precision is ${name}, .*8\\.0 on, but Tesla T4 has .* 7\\.5: set`,
          ),
        );
      }
      assert.equal(float16.code, 0, float16.stderr);
      const kernels = (await machine.records()).flatMap(({ kernels }) => Object.keys(kernels));
      assert.ok(kernels.includes("tensor half"));
      assert.ok(kernels.some((name) => /Mul_GPU_DT_HALF|N5Eigen4half/.test(name)));
    }),
);
