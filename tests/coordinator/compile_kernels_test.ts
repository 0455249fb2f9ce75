import assert from "node:assert/strict";
import { join } from "node:path";
import type { ComputeGpu } from "../../src/base/compute_device.ts";
import {
  type CompilationNeeds,
  compileKernels,
  gpusToCompileFor,
} from "../../src/coordinator/preparation/compile_kernels.ts";
import type { Job } from "../../src/train/job.ts";
import { validateConfig } from "../../src/config/load.ts";
import { withoutWaiting } from "../support/at_once.ts";
import { withVariables } from "../support/environment.ts";
import { tinyConfig } from "../support/tiny_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const ENTRY = new URL("../support/warm_up_program.ts", import.meta.url);

function gpuNamed(name: string, computeCapability: number | undefined = 9.0): ComputeGpu {
  return {
    ...{ kind: "gpu", uuid: "GPU-1", index: 0, name, busId: "00000000:01:00.0" },
    driverVersion: "570.86.10",
    computeCapability,
  };
}

function needs(folder: string, name: string, train = 16): CompilationNeeds {
  const config = { ...validateConfig(tinyConfig(folder)), workers: 1 } as Job["config"];
  return {
    devices: [gpuNamed(name)],
    libraryPath: join(folder, "build", "tensorflow", "libtensorflow_cc.so.2"),
    job: { config, root: folder, fingerprint: "", numClasses: 3, verbose: false },
    batches: { train, val: 64 },
  };
}

/** Calls compileKernels() with a cache of its own; returns the lines that it reports. */
async function linesOf(needed: CompilationNeeds, signal?: AbortSignal): Promise<string[]> {
  const lines: string[] = [];
  await compileKernels(needed, {
    reporter: { info: (line) => lines.push(line), download: () => {} },
    ...{ signal, entry: ENTRY, progressMs: 200 },
  });
  return lines;
}

Deno.test("gpusToCompileFor() takes one GPU of each kind that has no machine code in the build", () => {
  const [a, b] = [gpuNamed("NVIDIA H100"), { ...gpuNamed("NVIDIA H100"), uuid: "GPU-2" }];
  const [ada, blackwell] = [gpuNamed("NVIDIA L4", 8.9), gpuNamed("NVIDIA B200", 10.0)];
  const unknown = { ...a, computeCapability: undefined };
  assert.deepEqual(gpusToCompileFor([a, b, ada, blackwell, unknown, { kind: "cpu" }]), [
    a,
    blackwell,
  ]);
});

Deno.test("compileKernels() runs one process once per GPU, driver, network and sizes, with lines about the time", async () => {
  await withTemporaryFolder(async (folder) => {
    using _cache = withVariables({ LOCKSTEP_CACHE: folder });
    const slow = needs(folder, "NVIDIA H100 900 ms");
    const lines = await linesOf(slow);
    assert.match(
      lines[0]!,
      /^Compiling a part of TensorFlow's kernels for NVIDIA H100 900 ms: .*30 minutes$/,
    );
    assert.match(lines[1]!, /^Compiling kernels for NVIDIA H100 900 ms: \d+\.\d s so far$/);
    assert.match(lines.at(-1)!, /^Compiled the kernels for NVIDIA H100 900 ms in \d+\.\d s$/);
    assert.deepEqual(await linesOf(slow), [], "it is on record");
    assert.notDeepEqual(
      await linesOf({ ...slow, batches: { train: 32, val: 64 } }),
      [],
      "other sizes",
    );
    const [device] = slow.devices as ComputeGpu[];
    const updated = { ...slow, devices: [{ ...device!, driverVersion: "580.65.06" }] };
    assert.notDeepEqual(await linesOf(updated), [], "another driver");
    assert.deepEqual(await linesOf({ ...slow, devices: [gpuNamed("NVIDIA L4", 8.9)] }), []);
    await assert.rejects(
      linesOf(needs(folder, "NVIDIA H100 that fails")),
      /^LockstepError: The process that compiles the kernels for NVIDIA H100 that fails ended with code 1; its last lines:\n {2}\| no kernels for 16 \+ 64 images$/,
    );
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("Ctrl-C")), 600);
    await withoutWaiting(60, () =>
      assert.rejects(
        linesOf(needs(folder, "NVIDIA H100 60000 ms"), controller.signal),
        /Ctrl-C/,
      ));
    const stamps = (await Array.fromAsync(Deno.readDir(join(folder, "cuda-kernels", "build"))))
      .filter(({ name }) => /^compiled-.*\.json$/.test(name));
    assert.equal(stamps.length, 3, "neither the failed nor the interrupted one counts as done");
  });
});
