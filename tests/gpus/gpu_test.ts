import assert from "node:assert/strict";
import { join } from "node:path";
import { listGpus, parseGpus } from "../../src/gpus/gpu.ts";
import { type Fault, writeFakeNvidiaSmi } from "../support/fake_nvidia_smi.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { migGpu, someGpu } from "./some_gpus.ts";

Deno.test("listGpus() reads GPUs, their MIG instances and the processes on them", () =>
  withTemporaryFolder(async (folder) => {
    const { computeCapability: _unknown, ...old } = someGpu(2, { name: "Tesla K80" });
    const gpus = [
      someGpu(0, { processes: [{ pid: 71, memoryBytes: 512 * 2 ** 20 }, { pid: 72 }] }),
      migGpu(1, 2),
      old,
    ];
    const program = await writeFakeNvidiaSmi(folder, gpus);
    assert.deepEqual(await listGpus({ program }), { hasProgram: true, gpus });
  }));

Deno.test("listGpus() says why there is no list, and never gives a shorter one", () =>
  withTemporaryFolder(async (folder) => {
    assert.deepEqual(await listGpus({ program: join(folder, "none") }), {
      gpus: [],
      hasProgram: false,
    });
    const problems: [Fault, RegExp][] = [
      ["no driver", /^exited with code 9: NVIDIA-SMI has failed because .* driver$/],
      ["garbage", /^printed something else than a list of GPUs: Unable to determine/],
      ["hangs", /^gave no answer within 0.5 s$/],
      ["ignores SIGTERM", /^gave no answer within 0.5 s$/],
      ["floods", /^printed more than 256 KiB$/],
    ];
    for (const [fault, message] of problems) {
      const program = await writeFakeNvidiaSmi(join(folder, fault), [], { fault });
      const { gpus, hasProgram, problem } = await listGpus({
        program,
        timeoutMs: message.source.includes("0.5 s") ? 500 : 30_000,
      });
      assert.deepEqual([gpus, hasProgram], [[], true], fault);
      assert.match(problem!, message, fault);
    }
  }));

Deno.test("parseGpus() refuses a list with a line that is none", () => {
  const good = "0, GPU-0a, NVIDIA L4, 00000000:01:00.0, 550.1, 8.9, 23034, 1, [N/A], Default";
  assert.equal(parseGpus(good).gpus.length, 1);
  assert.deepEqual(parseGpus(""), { gpus: [] });
  for (
    const bad of [
      "Unable to determine the device handle",
      good.replace("GPU-0a", "x"),
      good.replace("0,", "-1,"),
    ]
  ) {
    assert.match(parseGpus(`${good}\n${bad}`).problem!, /printed something else/, bad);
  }
});
