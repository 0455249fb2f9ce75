import assert from "node:assert/strict";
import { join } from "node:path";
import { parseGpuUse, readGpuUse } from "../../src/coordinator/gpu_use.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

// As `nvidia-smi --query-gpu=… --format=csv,noheader,nounits` prints it.
const TWO = `0, NVIDIA H100 80GB HBM3, 87, 61440, 81559, 54
1, NVIDIA H100 80GB HBM3, 0, 3, 81559, 31
`;

Deno.test("parseGpuUse() reads what nvidia-smi prints", () => {
  assert.deepEqual(parseGpuUse(TWO), [
    {
      index: 0,
      name: "NVIDIA H100 80GB HBM3",
      utilization: 0.87,
      memoryUsedBytes: 61440 * 2 ** 20,
      memoryTotalBytes: 81559 * 2 ** 20,
      temperature: 54,
    },
    {
      index: 1,
      name: "NVIDIA H100 80GB HBM3",
      utilization: 0,
      memoryUsedBytes: 3 * 2 ** 20,
      memoryTotalBytes: 81559 * 2 ** 20,
      temperature: 31,
    },
  ]);
});

Deno.test("parseGpuUse() leaves out what the driver doesn't know, and lines that are none", () => {
  const text = "0, Orin (nvgpu), [N/A], [Not Supported], [N/A], 40\nNo devices were found\n";
  assert.deepEqual(parseGpuUse(text), [{ index: 0, name: "Orin (nvgpu)", temperature: 40 }]);
  assert.deepEqual(parseGpuUse(""), []);
});

Deno.test("readGpuUse() asks the program on PATH for what it reads, and takes none or a broken one for no GPU", () =>
  withTemporaryFolder(async (folder) => {
    const program = join(folder, "nvidia-smi");
    const script = (body: string) =>
      Deno.writeTextFile(program, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    assert.deepEqual(await readGpuUse(program), []);
    await script(`echo "$@" > '${folder}/asked'\ncat <<'END'\n${TWO}END`);
    assert.equal((await readGpuUse(program)).length, 2);
    assert.equal(
      (await Deno.readTextFile(join(folder, "asked"))).trim(),
      "--query-gpu=index,name,utilization.gpu,memory.used,memory.total,temperature.gpu " +
        "--format=csv,noheader,nounits",
    );
    await script(
      "echo 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9",
    );
    assert.deepEqual(await readGpuUse(program), []);
  }));
