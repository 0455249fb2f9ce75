import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { UsageError } from "../../src/base/errors.ts";
import { decodeTorchFile } from "../../src/weights/torch_file.ts";
import { readWeights } from "../../src/weights/weights_file.ts";
import type { TorchTensor } from "../../src/weights/torch_tensor.ts";
import { toFloat32 } from "../../src/weights/torch_tensor.ts";
import {
  archive,
  bytesOf,
  floats,
  get,
  global,
  integer,
  legacyFile,
  oneTensor,
  OP,
  pickle,
  put,
  text,
} from "./made_files.ts";

/** The tensors of a file's only state dict. */
async function tensorsIn(
  bytes: Uint8Array,
  path: string,
): Promise<ReadonlyMap<string, TorchTensor>> {
  const states = await decodeTorchFile(bytes, path);
  assert.equal(states.length, 1);
  return states[0].tensors;
}

const FIXTURES = join(import.meta.dirname!, "..", "fixtures", "weights");

Deno.test("readWeights() keeps whole numbers beyond float32 exact", async () => {
  const [{ tensors }] = await readWeights(join(FIXTURES, "network.pth"));
  const { data } = tensors.get("1.num_batches_tracked")!;
  assert.equal(new DataView(data.buffer, data.byteOffset).getBigInt64(0, true), 2n ** 40n + 1n);
});

const refused: Record<string, RegExp> = {
  "malicious.pth": /refers to posix\.system, which Lockstep never runs/,
  "malicious_legacy.pth": /refers to posix\.system, which Lockstep never runs/,
  "whole_model.pth":
    /whole model \(an object of torch\.nn\.modules\.container\.Sequential.*model\.state_dict\(\)/,
  "list.pth": /holds a list, not a state dict/,
  "torchscript.pth": /TorchScript/,
  "missing.pth": /can't be read/,
};

for (const [file, message] of Object.entries(refused)) {
  Deno.test(`readWeights() refuses ${file}`, async () => {
    const path = join(FIXTURES, file);
    await assert.rejects(readWeights(path), (error: Error) => {
      assert.ok(error instanceof UsageError);
      assert.ok(error.message.includes(path), error.message);
      assert.match(error.message, message);
      return true;
    });
  });
}

/** Entries of a whole archive around a pickle. */
function entries(data: Uint8Array, storage: Uint8Array = floats(1, 2, 3, 4)) {
  return { "data.pkl": data, byteorder: new TextEncoder().encode("little"), "data/0": storage };
}

/** Decodes; anything but a UsageError for a reason that the reader means is a bug. */
async function outcomeOf(bytes: Uint8Array): Promise<"read" | "refused"> {
  try {
    await decodeTorchFile(bytes, "fuzzed.pth");
    return "read";
  } catch (error) {
    assert.ok(error instanceof UsageError, `${error}`);
    const slip = [TypeError, RangeError, ReferenceError].some((kind) =>
      error.cause instanceof kind
    );
    assert.ok(!slip, String((error.cause as Error).stack));
    return "refused";
  }
}

function refuses(bytes: Uint8Array, message: RegExp): Promise<void> {
  return assert.rejects(decodeTorchFile(bytes, "some/file.pth"), (error: Error) => {
    assert.ok(error instanceof UsageError, String(error.stack));
    assert.match(error.message, /^Weights some\/file\.pth can't be used: /);
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("decodeTorchFile() reads zip64 archives", async () => {
  const bytes = await archive(entries(oneTensor()), { zip64: true });
  const read = await tensorsIn(bytes, "zip64.pth");
  assert.deepEqual([...toFloat32(read.get("weight")!)], [1, 2, 3, 4]);
});

Deno.test("decodeTorchFile() refuses compressed entries, and so zip bombs", async () => {
  const bomb = entries(oneTensor({ count: 2 ** 22, shape: [2 ** 22] }), new Uint8Array(2 ** 24));
  const bytes = await archive(bomb, { level: 9 });
  assert.ok(bytes.length < 2 ** 16);
  await refuses(bytes, /compressed/);
});

Deno.test("decodeTorchFile() refuses sizes that lie", async () => {
  const lies: [Parameters<typeof oneTensor>[0], RegExp][] = [
    [{ count: 5 }, /storage 0 should have 20 bytes, and has 16/],
    [{ count: 2 ** 50, shape: [2 ** 50] }, /should have/],
    [{ shape: [5] }, /reaches element 4 of its storage 0, which has 4/],
    [{ offset: 1 }, /reaches element 4/],
    [{ strides: [2] }, /reaches element 6/],
    [{ strides: [-1] }, /no natural numbers/],
    [{ shape: [-4] }, /no natural numbers/],
    [{ shape: [2 ** 30], strides: [0] }, /many times larger than their storages/],
    [{ shape: [2 ** 52, 2 ** 52], strides: [0, 0] }, /shape/],
    [{ shape: Array(65).fill(1), strides: Array(65).fill(1) }, /shape/],
    [{ shape: [4], strides: [1, 1] }, /shape/],
    [{ key: "../../x" }, /data\/\.\.\/\.\.\/x is missing/],
  ];
  for (const [options, message] of lies) {
    await refuses(await archive(entries(oneTensor(options))), message);
  }
});

Deno.test("decodeTorchFile() refuses archives of another kind", async () => {
  const whole = entries(oneTensor());
  await refuses(await archive({ "readme.txt": floats(1) }), /without the data\.pkl/);
  await refuses(await archive({ ...whole, byteorder: text("big") }), /not little-endian/);
  await refuses(await archive({ "data.pkl": oneTensor() }), /data\/0 is missing/);
  await refuses(new Uint8Array(), /it is empty/);
  await refuses(new TextEncoder().encode("<!doctype html>"), /looks like a web page/);
  await refuses(new TextEncoder().encode("version https://git-lfs"), /Git LFS/);
  await refuses(new Uint8Array([1, 2, 3]), /neither those of PyTorch's formats nor of safetensors/);
});

Deno.test("decodeTorchFile() reads a legacy storage that is a part of another", async () => {
  const storage = floats(1, 2, 3, 4);
  const part = { part: [1, 3], offset: 1, shape: [2] };
  const read = await tensorsIn(legacyFile(oneTensor(part), storage), "part.pth");
  assert.deepEqual([...toFloat32(read.get("weight")!)], [3, 4]);
  await refuses(legacyFile(oneTensor({ ...part, part: [2, 3] }), storage), /doesn't lie within it/);
  await refuses(
    legacyFile(oneTensor({ ...part, part: [-1, 3] }), storage),
    /doesn't lie within it/,
  );
  await refuses(legacyFile(oneTensor({ ...part, shape: [3] }), storage), /reaches element 3/);
});

Deno.test("decodeTorchFile() refuses a legacy file that contradicts itself", async () => {
  const storage = floats(1, 2, 3, 4);
  const saved = oneTensor();
  assert.equal((await tensorsIn(legacyFile(saved, storage), "whole.pth")).size, 1);
  await refuses(legacyFile(saved, storage, { count: 3 }), /3 elements in one place and 4/);
  await refuses(legacyFile(saved, storage, { count: -1 }), /-1 elements in one place and 4/);
  await refuses(legacyFile(saved, storage, { key: "1" }), /one that nothing refers to/);
  await refuses(legacyFile(saved, storage, { version: 1002 }), /version 1002, and 1001/);
  const list = pickle(...Array(5000).fill(OP.emptyList), ...Array(4999).fill(OP.append));
  const version = pickle(integer(1001));
  const whole = legacyFile(saved, storage);
  const at = whole.findIndex((_, i) => version.every((byte, k) => whole[i + k] === byte));
  const deep = bytesOf(whole.subarray(0, at), list, whole.subarray(at + version.length));
  await refuses(deep, /its format has version a list, and 1001/); // of a list in a list in a list …
  await refuses(legacyFile(saved, storage, { littleEndianKey: "x" }), /not little-endian/);
  await refuses(legacyFile(saved, floats(1, 2, 3), { count: 4 }), /cut short: storage 0/);
  await refuses(legacyFile(oneTensor({ count: 2 ** 53 - 1 }), storage), /cut short: storage 0/);
});

Deno.test("decodeTorchFile() notices an altered tensor", async () => {
  const bytes = await archive(entries(oneTensor()));
  const at = bytes.findIndex((_, i) => floats(3).every((byte, k) => bytes[i + k] === byte));
  bytes[at] ^= 1;
  await refuses(bytes, /data\/0 is altered \(the CRC-32 differs\)/);
});

Deno.test("decodeTorchFile() refuses a global or opcode by its name, and runs nothing", async () => {
  const calls = pickle(global("os", "system"), text("exit 3"), OP.tuple1, OP.reduce);
  await refuses(await archive(entries(calls)), /refers to os\.system, which Lockstep never runs/);
  const viaStack = pickle(text("builtins"), text("eval"), OP.stackGlobal);
  await refuses(await archive(entries(viaStack)), /refers to builtins\.eval/);
  const escape = pickle(global("os\x1b[2J", "system"));
  await refuses(await archive(entries(escape)), /holds os\?\[2J\.system, a class/);
});

Deno.test("decodeTorchFile() keeps unknown objects as placeholders, and runs nothing of them", async () => {
  const save = (...beside: (number | Uint8Array)[]) =>
    archive(entries(pickle(
      OP.emptyDict,
      OP.mark,
      text("state_dict"),
      oneTensor().subarray(2, -1), // without its protocol and end
      text("beside"),
      ...beside,
      OP.setItems,
    )));
  const thing = global("some.module", "Thing");
  const state = bytesOf(OP.emptyDict, text("a"), OP.none, OP.setItem);
  for (
    const beside of [
      [thing],
      [thing, OP.emptyTuple, OP.reduce],
      [thing, OP.emptyTuple, OP.newObject, state, OP.build],
      [thing, OP.emptyTuple, OP.newObject, OP.none, OP.append],
      [thing, OP.emptyTuple, OP.newObject, text("key"), OP.none, OP.setItem],
      [thing, OP.emptyTuple, OP.reduce, OP.emptyTuple, OP.reduce],
      [thing, OP.emptyTuple, OP.emptyDict, 0x92],
    ]
  ) {
    const [{ key, tensors }, ...others] = await decodeTorchFile(await save(...beside), "x.pth");
    assert.deepEqual([key, [...tensors.keys()], others], ["state_dict", ["weight"], []]);
  }
  await refuses(await save(global("os", "system")), /refers to os\.system, .*somebody you trust/);
  await refuses(await save(global("builtins", "eval")), /refers to builtins\.eval/);
});

Deno.test("decodeTorchFile() says what an unknown object that is filled like a dict holds", async () => {
  const thing = [global("some.module", "Thing"), OP.emptyTuple, OP.newObject];
  const filled = pickle(...thing, text("lr"), OP.none, OP.setItem);
  await refuses(await archive(entries(filled)), /it holds a dict without tensors: "lr" is None/);
});

Deno.test("decodeTorchFile() refuses a tensor within a tensor, however deep, without recursion", async () => {
  const rebuild = global("torch._tensor", "_rebuild_from_type_v2");
  const nested = pickle(
    OP.mark,
    rebuild,
    OP.none,
    OP.emptyTuple,
    OP.tuple,
    put(0),
    ...Array(1000).fill(bytesOf(OP.pop, OP.mark, rebuild, OP.none, get(0), OP.tuple, put(0))),
    OP.pop,
    rebuild,
    get(0),
    OP.reduce,
  );
  await refuses(await archive(entries(nested)), /a tensor within a tensor/);
});

Deno.test("decodeTorchFile() refuses any truncation and any altered byte with a UsageError", async () => {
  const files = ["network.pth", "network_legacy.pth", "views_legacy.pth", "checkpoint.pth"];
  const whole = await Promise.all(files.map((file) => Deno.readFile(join(FIXTURES, file))));
  for (const bytes of whole) {
    for (let length = 0; length < bytes.length; length += 7) {
      const outcome = await outcomeOf(bytes.subarray(0, length));
      assert.equal(outcome, "refused", `${length} of ${bytes.length} bytes`);
    }
  }
  const flips = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), {
    minLength: 1,
    maxLength: 4,
  });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...whole), flips, async (original, changes) => {
      const bytes = original.slice();
      for (const [at, mask] of changes) bytes[at % bytes.length] ^= mask;
      await outcomeOf(bytes);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("decodeTorchFile() survives any pickle in a whole archive", async () => {
  const pickles = fc.array(
    fc.oneof(
      fc.constantFrom(...Object.values(OP)).map((code) => bytesOf(code)),
      fc.uint8Array({ maxLength: 4 }),
      fc.constantFrom(oneTensor(), text("weight"), global("torch", "Size")),
      fc.constant(global("collections", "OrderedDict")),
    ),
    { maxLength: 30 },
  );
  await fc.assert(
    fc.asyncProperty(pickles, async (parts) => {
      await outcomeOf(await archive(entries(pickle(...parts))));
    }),
    { numRuns: 500 },
  );
});
