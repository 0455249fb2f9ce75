import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { encodeSafetensors } from "../../src/weights/safetensors.ts";
import { toFloat32, type TorchTensor } from "../../src/weights/torch_tensor.ts";
import { selectState, tensorsOf } from "../../src/weights/select_state.ts";
import { readWeights } from "../../src/weights/weights_file.ts";
import { floats } from "./made_files.ts";

const FIXTURES = join(import.meta.dirname!, "..", "fixtures", "weights");

interface Expected {
  dtype: string;
  shape: number[];
  sum: number;
  values: number[];
}

const expected: Record<string, Record<string, Expected>> = JSON.parse(
  await Deno.readTextFile(join(FIXTURES, "expected.json")),
);

function summaryOf(tensor: TorchTensor): Expected {
  const values = toFloat32(tensor);
  return {
    dtype: tensor.dtype,
    shape: [...tensor.shape],
    sum: values.reduce((sum, value) => sum + value, 0),
    values: [...values.slice(0, 12)],
  };
}

/** The tensors of a file that a network with these names would get. */
async function tensorsFor(path: string, expected: Record<string, Expected>) {
  const shapes = new Map(Object.entries(expected).map(([name, { shape }]) => [name, shape]));
  return tensorsOf(selectState(await readWeights(path), { shapes, rename: (name) => name }));
}

for (const [file, tensors] of Object.entries(expected)) {
  Deno.test(`readWeights() reads ${file} as PyTorch does`, async () => {
    const read = await tensorsFor(join(FIXTURES, file), tensors);
    // PyTorch's order; the safetensors library has its own.
    if (!file.endsWith(".safetensors")) assert.deepEqual([...read.keys()], Object.keys(tensors));
    assert.equal(read.size, Object.keys(tensors).length);
    for (const [name, { sum, ...rest }] of Object.entries(tensors)) {
      const { sum: ownSum, ...own } = summaryOf(read.get(name)!);
      assert.deepEqual(own, rest, name);
      assert.ok(Math.abs(ownSum - sum) <= 1e-12 * Math.abs(sum), `${name}: ${ownSum} and ${sum}`);
    }
  });
}

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
      assert.deepEqual([...toFloat32((await readWeights(path))[0].tensors.get("w")!)], [1, 2]);
    }
    for (const file of ["network.pth", "network_legacy.pth"]) {
      const path = join(folder, file.replace(".pth", ".bin"));
      await Deno.copyFile(join(FIXTURES, file), path);
      assert.equal((await readWeights(path))[0].tensors.size, 8);
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
