import assert from "node:assert/strict";
import { join } from "node:path";
import { readPickle } from "../../src/weights/pickle.ts";
import {
  describe,
  PickleError,
  PickleFunction,
  PickleTuple,
  type PickleValue,
} from "../../src/weights/pickle_values.ts";
import { readLegacy } from "../../src/weights/torch_legacy.ts";
import {
  bytesOf,
  get,
  global,
  integer,
  littleEndian,
  OP,
  pickle,
  put,
  text,
} from "./made_files.ts";

const plain = {
  globals: new Map(),
  persistent: () => {
    throw new PickleError("no storages here");
  },
};

function valueOf(bytes: Uint8Array): PickleValue {
  const { value, end } = readPickle(bytes, plain);
  assert.equal(end, bytes.length);
  return value;
}

function refuses(bytes: Uint8Array, message: RegExp): void {
  assert.throws(() => readPickle(bytes, plain), (error: Error) => {
    assert.ok(error instanceof PickleError, String(error.stack));
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("readPickle() reads what Python wrote: every kind of plain value", async () => {
  const path = join(import.meta.dirname!, "../fixtures/weights/checkpoint_legacy.pth");
  const { value } = readLegacy(await Deno.readFile(path));
  assert.ok(value instanceof Map);
  assert.equal(value.get("epoch"), 3);
  assert.equal(value.get("arch"), "tiny");
  assert.equal(value.get("best"), 0.75);
  const done = value.get("done");
  assert.ok(done instanceof PickleTuple);
  const bytes = new Uint8Array([0x00, 0xff, ...new TextEncoder().encode(" bytes")]);
  assert.deepEqual(done.items, [true, null, -5, 2 ** 40, -(2n ** 70n), bytes, "Grüße"]);
  const optimizer = value.get("optimizer");
  assert.ok(optimizer instanceof Map);
  assert.ok(Array.isArray(optimizer.get("param_groups")));
});

Deno.test("readPickle() reads integers of any width and sign", () => {
  assert.equal(valueOf(pickle(0x8a, 0)), 0);
  assert.equal(valueOf(pickle(0x8a, 1, 0xff)), -1);
  assert.equal(valueOf(pickle(0x8a, 2, 0xff, 0x00)), 255);
  assert.equal(valueOf(pickle(integer(-(2n ** 53n)))), -(2n ** 53n));
  assert.equal(valueOf(pickle(0x4a, littleEndian(-7, 4))), -7);
  assert.equal(valueOf(pickle(0x4d, 0x34, 0x12)), 0x1234);
  refuses(pickle(0x8b, littleEndian(2 ** 31 - 1, 4)), /integer of 2147483647 bytes/);
});

Deno.test("readPickle() shares what is recalled, and lets a list hold itself", () => {
  const list = valueOf(pickle(OP.emptyList, put(0), get(0), OP.append));
  assert.ok(Array.isArray(list));
  assert.equal(list[0], list);
  refuses(pickle(get(3)), /recalls 3, which it never kept/);
});

Deno.test("readPickle() takes nesting of any depth without recursion", () => {
  const depth = 1_000_000;
  const bytes = new Uint8Array(2 * depth + 1).fill(OP.emptyList, 0, depth + 1);
  bytes.fill(OP.append, depth + 1);
  let value = valueOf(pickle(bytes));
  let found = 0;
  for (; Array.isArray(value) && value.length === 1; value = value[0]) found++;
  assert.equal(found, depth);
});

Deno.test("readPickle() stops a pickle that builds too much", () => {
  refuses(pickle(new Uint8Array(4_000_001).fill(OP.none)), /more than 4000000 values/);
  refuses(pickle(new Uint8Array(4_000_001).fill(OP.mark)), /more than 4000000 values/);
  // Each call is a few bytes, and would copy the kept text: the budget counts the copies.
  const environment = {
    ...plain,
    globals: new Map([
      [
        "a.b",
        new PickleFunction(([value], budget) => {
          budget.take(String(value).length);
          return null;
        }),
      ],
    ]),
  };
  const call = bytesOf(get(0), get(1), OP.reduce);
  const bytes = pickle(
    global("a", "b"),
    put(0),
    text("x".repeat(1_000_000)),
    OP.tuple1,
    put(1),
    ...Array<Uint8Array>(5).fill(call),
  );
  assert.throws(() => readPickle(bytes, environment), /more than 4000000 values/);
});

Deno.test("readPickle() believes no length", () => {
  refuses(pickle(0x58, littleEndian(2 ** 32 - 1, 4)), /cut short/);
  refuses(pickle(0x8e, littleEndian(-1, 8)), /cut short/);
  refuses(pickle(0x8d, littleEndian(2n ** 62n, 8)), /cut short/);
  refuses(pickle(0x63, 0x6f, 0x73), /ends inside a name/);
  refuses(new Uint8Array(), /cut short/);
});

Deno.test("readPickle() refuses what makes no sense on its stack", () => {
  refuses(pickle(), /empty stack/);
  refuses(pickle(OP.none, OP.mark, OP.tuple1), /empty stack/);
  refuses(pickle(OP.tuple), /mark that it didn't open/);
  refuses(pickle(OP.none, OP.none, OP.append), /appends to None/);
  refuses(pickle(OP.emptyList, OP.none, OP.none, OP.setItem), /sets an item of a list/);
  refuses(pickle(OP.emptyDict, OP.mark, OP.none, OP.setItems), /key without a value/);
  refuses(pickle(OP.emptyDict, OP.emptyList, OP.none, OP.setItem), /key is a list/);
  refuses(pickle(OP.none, OP.emptyTuple, OP.reduce), /calls None/);
  refuses(pickle(OP.emptyList, OP.emptyDict, OP.build), /attributes of a list/);
  refuses(pickle(OP.none, OP.persistentId), /no storages here/);
});

Deno.test("readPickle() refuses other protocols, opcodes and bytes by name", () => {
  refuses(bytesOf(0x80, 6), /protocol 6, and 1 to 5 can be read/);
  refuses(pickle(0x69), /opcode INST/);
  refuses(pickle(global("argparse", "Namespace")), /refers to argparse\.Namespace/);
  refuses(pickle(0x82, 1), /opcode EXT1/);
  refuses(pickle(0x97), /opcode NEXT_BUFFER/);
  refuses(pickle(0x50, 0x0a), /opcode PERSID/);
  refuses(pickle(0xff), /byte 0xff, which is no opcode/);
  refuses(pickle(0x58, 1, 0, 0, 0, 0xff), /not UTF-8/);
});

Deno.test("describe() names every kind of value, and what is missing, in words of the user's", () => {
  const values = [undefined, null, 7n, true, "x", [], new Map(), new PickleTuple([])];
  const words = [
    "missing",
    "None",
    "a number",
    "a boolean",
    "a string",
    "a list",
    "a dict",
    "a tuple",
  ];
  assert.deepEqual(values.map(describe), words);
});
