import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { encodeSafetensors } from "../../src/weights/safetensors.ts";
import { toFloat32, type TorchTensor } from "../../src/weights/torch_tensor.ts";
import { readWeights } from "../../src/weights/weights_file.ts";
import { floats } from "./made_files.ts";

const FIXTURES = join(import.meta.dirname!, "..", "fixtures", "weights");

Deno.test("readWeights() tells the format by content, whatever the name", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const bytes = encodeSafetensors(
      new Map<string, TorchTensor>([["w", { dtype: "float32", shape: [2], data: floats(1, 2) }]]),
      {},
    );
    for (const name of ["a.safetensors", "b.pth"]) {
      const path = join(folder, name);
      await Deno.writeFile(path, bytes);
      assert.deepEqual([...toFloat32((await readWeights(path)).get("w")!)], [1, 2]);
    }
    for (const file of ["network.pth", "network_legacy.pth"]) {
      const path = join(folder, file.replace(".pth", ".bin"));
      await Deno.copyFile(join(FIXTURES, file), path);
      assert.equal((await readWeights(path)).size, 8);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("readWeights() names the file that is missing, or not one of weights", async () => {
  await assert.rejects(readWeights("no/such.pth"), (error: Error) => {
    return error instanceof UsageError &&
      error.message.startsWith("Weights no/such.pth can't be read");
  });
  const json = join(FIXTURES, "expected.json");
  await assert.rejects(readWeights(json), (error: Error) => {
    return error instanceof UsageError && error.message.includes(json);
  });
});
