import assert from "node:assert/strict";
import { join } from "node:path";
import { fakeGpuMachine } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("nccl_overlap_program.ts", import.meta.url).pathname;

fakeCudaTest(
  "a bucket is summed by NCCL before the next part of the backward pass has ended",
  async () => {
    await using machine = await fakeGpuMachine({ gpus: 3 });
    const { code, stdout, stderr } = await runDeno(
      ["run", "-A", "--no-check", PROGRAM, machine.nvidiaFolder],
      { env: machine.env },
    );
    assert.equal(code, 0, stderr);
    const { began, parts } = JSON.parse(stdout) as { began: number; parts: number[][] };
    const folder = join(machine.folder, "records");
    const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
    const files = names.filter((name) => name.endsWith(".jsonl"));
    assert.equal(files.length, 3);
    for (const name of files) {
      const lines = (await Deno.readTextFile(join(folder, name))).trim().split("\n");
      const all: { begin: number; end: number; count: number }[] = lines.map((line) =>
        JSON.parse(line)
      );
      const step = all.filter(({ begin }) => begin >= began);
      assert.deepEqual(step.map(({ count }) => count), Array(4).fill(10_000), "one order for all");
      // The first part holds the last bucket, the second one that before it; what is offered of a third is too short.
      for (const [part, bucket] of [[0, 0], [1, 1]] as const) {
        const ended = Math.min(...parts.map((times) => times[part]!));
        assert.ok(
          step[bucket]!.end < ended,
          `bucket ${bucket} was summed ${step[bucket]!.end - ended} ms late`,
        );
      }
      const last = Math.min(...parts.map((times) => times[1]!));
      assert.ok(step[2]!.end > last, "a bucket that isn't whole waits");
    }
  },
);
