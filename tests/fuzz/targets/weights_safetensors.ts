/**
 * Fuzzer of safetensors: files that are altered, headers that lie, and what the writer wrote.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  decodeSafetensors,
  decodeSafetensorsState,
  encodeSafetensors,
} from "../../../src/weights/safetensors.ts";
import {
  ITEM_SIZES,
  type NamedTensors,
  type TorchDtype,
} from "../../../src/weights/torch_tensor.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { anyCharacter, changeJson, type JsonChange, jsonChanges } from "../json_changes.ts";
import { joined, mutate, type Mutation, mutations } from "../mutations.ts";
import { checkRefusal } from "../refusals.ts";

const PATH = "some/fuzzed.safetensors";
const DTYPES = Object.keys(ITEM_SIZES) as TorchDtype[];

const names = fc.oneof(
  fc.constantFrom(
    "weight",
    "__proto__",
    "",
    "1",
    "0",
    "constructor",
    "\u001b[2J",
    "\ud800".toWellFormed(),
    '"\\',
  ),
  fc.string({ maxLength: 8, unit: anyCharacter }).map((text) => text.toWellFormed()),
);
const tensor = fc.tuple(
  fc.constantFrom(...DTYPES),
  fc.array(fc.nat(3), { maxLength: 4 }),
  fc.nat(255),
);
const state = fc.uniqueArray(fc.tuple(names, tensor), { selector: ([name]) => name, maxLength: 5 })
  .map((drawn): NamedTensors =>
    new Map(drawn.map(([name, [dtype, shape, fill]]) => {
      const data = new Uint8Array(shape.reduce((all, size) => all * size, ITEM_SIZES[dtype])).fill(
        fill,
      );
      return [name, { dtype, shape, data }];
    }))
  );

interface Input {
  readonly tensors: NamedTensors;
  readonly metadata: Record<string, string>;
  /** Changes of the header's JSON, whose length is then right. */
  readonly header: readonly JsonChange[];
  readonly lies: readonly { readonly at: number; readonly value: number }[];
  readonly depth: number;
  readonly changes: readonly Mutation[];
}

/** Sizes and offsets that don't fit. */
const lie = fc.oneof(
  fc.nat(40),
  fc.constantFrom(-1, 0.5, 2 ** 31, 2 ** 32, 2 ** 52, 2 ** 53, 1e300),
);

export const FUZZER = defineFuzzer<Input>({
  seed: 20_005,
  input: fc.record({
    tensors: state,
    metadata: fc.dictionary(fc.string({ maxLength: 5 }), fc.string({ maxLength: 10 }), {
      maxKeys: 2,
    }),
    header: fc.oneof(fc.constant([]), jsonChanges),
    lies: fc.oneof(
      fc.constant([]),
      fc.array(fc.record({ at: fc.nat(50), value: lie }), { maxLength: 2 }),
    ),
    depth: fc.oneof({ weight: 40, arbitrary: fc.constant(0) }, {
      weight: 1,
      arbitrary: fc.nat(30_000),
    }),
    changes: fc.oneof(fc.constant([]), mutations),
  }),
  check(drawn) {
    const { tensors, metadata, changes } = drawn;
    const whole = encodeSafetensors(tensors, metadata);
    const lying = withHeader(whole, drawn);
    const bytes = mutate({ bytes: lying, fields: [{ at: 0, bytes: 8 }] }, changes);
    const isSame = bytes.length === whole.length && bytes.every((byte, i) => byte === whole[i]);
    try {
      const read = decodeSafetensorsState(bytes, PATH);
      for (const [name, { dtype, shape, data }] of read.tensors) {
        const count = shape.reduce((all, size) => all * size, 1);
        assert.equal(data.length, count * ITEM_SIZES[dtype], name);
      }
      if (!isSame) return;
      assert.deepEqual([...read.tensors], [...tensors]);
      assert.deepEqual({ ...read.metadata }, { ...metadata });
    } catch (error) {
      // A JSON or a text that isn't one has the engine's own error as its cause.
      checkRefusal(error, { naming: PATH, causes: [SyntaxError, TypeError], mayQuote: true });
      assert.ok(!isSame, String(error));
    }
    refusesOrReads(bytes);
  },
});

/** The stricter reader may only refuse more. */
function refusesOrReads(bytes: Uint8Array): void {
  try {
    decodeSafetensors(bytes, PATH);
  } catch (error) {
    checkRefusal(error, { naming: PATH, causes: [SyntaxError, TypeError], mayQuote: true });
  }
}

/** The file with another header, whose length is right. */
function withHeader(whole: Uint8Array, { header, lies, depth }: Input): Uint8Array {
  if (header.length + lies.length + depth === 0) return whole;
  const length = Number(new DataView(whole.buffer).getBigUint64(0, true));
  const json = JSON.parse(new TextDecoder().decode(whole.subarray(8, 8 + length)));
  const changed = changeJson(json, header);
  let text = JSON.stringify(changed) ?? "";
  let number = 0;
  text = text.replaceAll(/-?\d+(?=[,\]])/g, (own) => {
    const at = number++;
    return String(lies.find((each) => each.at === at)?.value ?? own);
  });
  if (depth > 0) text = text.replace("{", `{"deep":${"[".repeat(depth)}${"]".repeat(depth)},`);
  const bytes = new TextEncoder().encode(text);
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, BigInt(bytes.length), true);
  return joined(size, bytes, whole.subarray(8 + length));
}
