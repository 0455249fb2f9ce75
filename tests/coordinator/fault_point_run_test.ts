import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { FAULT_VARIABLE } from "../../src/base/fault_point.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { startCommand, tinyConfig } from "../support/tiny_run.ts";

Deno.test("a worker ends at the point that its environment names, and the run names rank and step", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    // Over NATS, a short vector's only chunk may be on its way already, which completes the step.
    const cases = [
      { exchange: "shared-memory", point: "after-sum:1:1", rank: 1, step: "1" },
      { exchange: "nats", point: "between-chunks:0:1", rank: 0, step: "[12]" },
    ] as const;
    await Promise.all(cases.map(async ({ exchange, point, rank, step }) => {
      const own = join(folder, exchange);
      const path = join(folder, `${exchange}.yaml`);
      const config = {
        ...tinyConfig(root, { workers: 2, exchange, onWorkerLost: "fail" }),
        out: own,
      };
      await Deno.writeTextFile(path, stringify(config));
      await using run = startCommand(["train", "--config", path], folder, {
        [FAULT_VARIABLE]: point,
      });
      const { code, stderr } = await run.result;
      assert.equal(code, 1, stderr);
      assert.match(
        stderr,
        new RegExp(
          `error: Rank ${rank} \\(pid \\d+\\) was killed by SIGKILL .*in epoch 1, step ${step}`,
        ),
      );
    }));
  }));

Deno.test("a malformed fault point ends the run with a sentence", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const path = join(folder, "config.yaml");
    await Deno.writeTextFile(path, stringify({ ...tinyConfig(root), out: join(folder, "runs") }));
    await using run = startCommand(["train", "--config", path], folder, {
      [FAULT_VARIABLE]: "sometime",
    });
    const { code, stderr } = await run.result;
    assert.equal(code, 1);
    assert.match(
      stderr,
      /error: Rank 0 .*exited with code 2 before its first step.*\n.*LOCKSTEP_FAULT_POINT is sometime: give name, name:rank, name:rank:step or name:rank:step:epoch/,
    );
  }));
