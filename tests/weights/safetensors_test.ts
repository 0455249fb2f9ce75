import assert from "node:assert/strict";
import fc from "fast-check";
import { UsageError } from "../../src/base/errors.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/weights/safetensors.ts";
import { ITEM_SIZES, type TorchDtype, type TorchTensor } from "../../src/weights/torch_tensor.ts";
import { bytesOf, floats, littleEndian } from "./made_files.ts";

const tensors = fc.record({
  dtype: fc.constantFrom(...Object.keys(ITEM_SIZES) as TorchDtype[]),
  shape: fc.array(fc.nat({ max: 4 }), { maxLength: 4 }),
  seed: fc.nat({ max: 255 }),
}).map(({ dtype, shape, seed }): TorchTensor => {
  const count = shape.reduce((product, size) => product * size, 1);
  return { dtype, shape, data: new Uint8Array(count * ITEM_SIZES[dtype]).fill(seed) };
});
const names = fc.string({ unit: "grapheme" }).filter((name) => name !== "__metadata__");
const states = fc.array(fc.tuple(names, tensors), { maxLength: 8 }).map((list) => new Map(list));

Deno.test("encodeSafetensors() and decodeSafetensors() are each other's inverse", () => {
  const metadata = fc.dictionary(fc.string(), fc.string());
  fc.assert(fc.property(states, metadata, (state, strings) => {
    const read = decodeSafetensors(encodeSafetensors(state, strings), "x.safetensors");
    assert.deepEqual([...read.tensors.keys()], [...state.keys()]);
    for (const [name, tensor] of state) {
      assert.deepEqual({ ...read.tensors.get(name)!, data: [...read.tensors.get(name)!.data] }, {
        ...tensor,
        data: [...tensor.data],
      });
    }
    assert.deepEqual(Object.entries(read.metadata).sort(), Object.entries(strings).sort());
  }));
});

Deno.test("encodeSafetensors() writes the format's bytes, each tensor aligned to its type", () => {
  const bytes = encodeSafetensors(
    new Map<string, TorchTensor>([
      ["b", { dtype: "uint8", shape: [1], data: new Uint8Array([7]) }],
      ["a", { dtype: "float32", shape: [2], data: floats(1, -2) }],
    ]),
    { format: "pt" },
  );
  const json =
    '{"__metadata__":{"format":"pt"},"b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},' +
    '"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
  const length = Math.ceil(json.length / 8) * 8;
  const header = new TextEncoder().encode(json.padEnd(length));
  assert.deepEqual(bytes, bytesOf(littleEndian(length, 8), header, floats(1, -2), 7));
});

Deno.test("encodeSafetensors() refuses bytes that don't fit the shape", () => {
  const wrong: TorchTensor = { dtype: "float32", shape: [3], data: floats(1, 2) };
  assert.throws(() => encodeSafetensors(new Map([["w", wrong]]), {}), RangeError);
});

function file(header: string, data: Uint8Array = new Uint8Array(), length?: number | bigint) {
  const json = new TextEncoder().encode(header);
  return bytesOf(littleEndian(length ?? json.length, 8), json, data);
}

function refuses(bytes: Uint8Array, message: RegExp): void {
  assert.throws(() => decodeSafetensors(bytes, "some/file"), (error: Error) => {
    assert.ok(error instanceof UsageError, String(error.stack));
    assert.match(error.message, /^some\/file is not a usable safetensors file: /);
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("decodeSafetensors() refuses a header that lies or isn't JSON", () => {
  refuses(new Uint8Array(5), /ends after 5 bytes/);
  refuses(file("{}", new Uint8Array(), 3), /claims 3 bytes, and 2 are there/);
  refuses(file("{}", new Uint8Array(), -1), /claims 18446744073709551615 bytes/);
  refuses(file("[]"), /doesn't start with \{/);
  refuses(file("{"), /JSON/);
  refuses(file('{"a'), /ends inside a string/);
  refuses(file('{"a":1}'), /described by no object/);
  refuses(file('{"__metadata__":{"a":1}}'), /doesn't map names to strings/);
  refuses(bytesOf(littleEndian(2, 8), 0x7b, 0xff), /not valid|invalid/i);
});

Deno.test("decodeSafetensors() refuses deep JSON before anything is built from it", () => {
  const depth = 5_000_000;
  refuses(file(`{"a":${"[".repeat(depth)}`), /nested deeper than 3/);
  refuses(file(`{"a":${'{"a":'.repeat(1000)}`), /nested deeper than 3/);
});

Deno.test("decodeSafetensors() refuses names and keys that are given twice", () => {
  const entry = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}';
  refuses(file(`{"w":${entry},"w":${entry}}`, new Uint8Array(1)), /gives "w" twice/);
  refuses(file(`{"w":${entry},"\\u0077":${entry}}`, new Uint8Array(1)), /gives "w" twice/);
  refuses(file('{"w":{"dtype":"U8","dtype":"I8"}}'), /gives "dtype" twice/);
});

Deno.test("decodeSafetensors() refuses offsets and shapes that can't be", () => {
  const w = (dtype: string, shape: string, offsets: string, rest = "") =>
    `{"w":{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}${rest}}}`;
  const data = new Uint8Array(8);
  const cases: [string, RegExp][] = [
    [w("F32", "[3]", "[0,8]"), /needs 12 bytes, and its data_offsets hold 8/],
    [w("F32", "[2]", "[0,16]"), /ends at byte 16 of the data, and there are 8/],
    [w("F32", "[2]", "[8,0]"), /data_offsets that can't be/],
    [w("F32", "[2]", "[-8,0]"), /data_offsets that can't be/],
    [w("F32", "[2]", "[0,8.5]"), /data_offsets that can't be/],
    [w("F32", "[2]", "[0,1e30]"), /data_offsets that can't be/],
    [w("F32", "[2]", "[0]"), /data_offsets that can't be/],
    [w("F32", "[2]", "7"), /data_offsets that can't be/],
    [w("F32", "[-2]", "[0,8]"), /shape that can't be/],
    [w("F32", "[9007199254740991,3]", "[0,8]"), /shape that can't be/],
    [w("F32", "[9007199254740991,9007199254740991,0]", "[0,0]"), /shape that can't be/],
    [w("F32", '["2"]', "[0,8]"), /shape that can't be/],
    [w("F32", "{}", "[0,8]"), /shape that can't be/],
    [w("F33", "[2]", "[0,8]"), /dtype "F33", and these can be read: F32, /],
    [w("F32", "[2]", "[0,8]", ',"more":1'), /unknown key "more"/],
    [w("F32", "[1]", "[0,4]"), /take 4 bytes, and 8 follow/],
    [w("F32", "[1]", "[4,8]"), /leaves a hole before it/],
    ["{}", /take 0 bytes, and 8 follow/],
  ];
  for (const [header, message] of cases) refuses(file(header, data), message);
  const half = (begin: number) =>
    `{"dtype":"F32","shape":[1],"data_offsets":[${begin},${begin + 4}]}`;
  refuses(file(`{"a":${half(0)},"b":${half(0)}}`, data), /"b" .* overlaps/);
});

Deno.test("decodeSafetensors() refuses any truncation, and survives any altered byte", () => {
  const state = new Map<string, TorchTensor>([
    ["weight", { dtype: "float32", shape: [2, 2], data: floats(1, 2, 3, 4) }],
    ["steps", { dtype: "int64", shape: [], data: new Uint8Array(8) }],
  ]);
  const whole = encodeSafetensors(state, { format: "pt" });
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => decodeSafetensors(whole.subarray(0, length), "x"), UsageError);
  }
  const flips = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(flips, (changes) => {
      const bytes = whole.slice();
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      try {
        decodeSafetensors(bytes, "x");
      } catch (error) {
        assert.ok(error instanceof UsageError);
        assert.ok(!(error.cause instanceof RangeError), String(error.cause));
      }
    }),
    { numRuns: 5000 },
  );
});
