/**
 * Fuzzer of PyTorch's files: archives and legacy files that are altered, pickles that are altered within whole archives,
 * and pickles of any opcodes.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { decodeTorchFile } from "../../../src/weights/torch_file.ts";
import { TorchArchive } from "../../../src/weights/torch_zip.ts";
import * as made from "../../weights/made_files.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { joined, mutate, type Mutation, mutations, type Sample } from "../mutations.ts";
import { checkRefusal } from "../refusals.ts";
import { zipSample } from "../zip_sample.ts";

const PATH = "some/fuzzed.pth";
const FIXTURES = join(import.meta.dirname!, "..", "..", "fixtures", "weights");
const FILES = [
  "network.pth",
  "views.pth",
  "checkpoint.pth",
  "dtypes.pth",
  "network_protocol4.pth",
  "whole_model.pth",
];
const LEGACY = ["network_legacy.pth", "views_legacy.pth", "checkpoint_legacy.pth"];

const read = async (name: string): Promise<Sample> => ({
  bytes: await Deno.readFile(join(FIXTURES, name)),
});
const archives = await Promise.all(FILES.map(read));
const legacy = await Promise.all(LEGACY.map(read));
const pickles = await Promise.all(archives.map(async ({ bytes }): Promise<Sample> => {
  const archive = await TorchArchive.open(bytes);
  return { bytes: archive.pickle() };
}));
const storage = made.floats(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
const LITTLE = new TextEncoder().encode("little");

/** An archive around a pickle. */
function around(pickle: Uint8Array): Sample {
  return zipSample([
    { name: "archive/data.pkl", content: pickle },
    { name: "archive/byteorder", content: LITTLE },
    { name: "archive/data/0", content: storage },
    { name: "archive/data/1", content: storage.subarray(0, 16) },
  ]);
}

const small = around(made.oneTensor({ count: 12, shape: [3, 4], strides: [4, 1] }));

/** Arguments of opcodes: counts that lie, references, and texts. */
const number = fc.oneof(
  fc.nat(12),
  fc.constantFrom(255, 2 ** 31, 2 ** 31 - 1, 2 ** 32 - 1, 2 ** 40, 2 ** 53 - 1),
);
const word = fc.constantFrom(
  "weight",
  "storage",
  "0",
  "cpu",
  "state_dict",
  "_modules",
  "_parameters",
  "é".repeat(60),
);
const NAMES = [
  ...[
    "torch FloatStorage",
    "torch LongStorage",
    "torch Size",
    "torch.storage UntypedStorage",
    "os system",
  ],
  ...[
    "collections OrderedDict",
    "builtins dict",
    "builtins getattr",
    "copy_reg _reconstructor",
    "my.module Thing",
  ],
  ...[
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_parameter",
  ],
  ...["torch._tensor _rebuild_from_type_v2", "_codecs encode", "torch._utils _rebuild_qtensor"],
];
const global = fc.constantFrom(...NAMES).map((name) =>
  made.global(...name.split(" ") as [string, string])
);
const op = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(...Object.values(made.OP)).map((code) => Uint8Array.of(code)),
  },
  { weight: 3, arbitrary: fc.nat(255).map((code) => Uint8Array.of(code)) },
  { weight: 3, arbitrary: word.map((text) => made.text(text)) },
  { weight: 3, arbitrary: global },
  { weight: 2, arbitrary: number.map((value) => made.integer(value)) },
  { weight: 2, arbitrary: fc.nat(5).map((index) => made.put(index)) },
  { weight: 2, arbitrary: fc.nat(5).map((index) => made.get(index)) },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constantFrom(0x58, 0x8d, 0x42, 0x8e, 0x96, 0x8b, 0x72, 0x6a, 0x95),
      number,
    )
      .map(([code, value]) => made.bytesOf(code, made.littleEndian(value, 8))),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      count: number,
      offset: number,
      shape: fc.array(number, { maxLength: 4 }),
      strides: fc.array(number, { maxLength: 4 }),
    }).map((tensor) => made.tensor(tensor)),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.nat(3), fc.nat(60)).map(([which, count]) =>
      made.bytesOf(...Array(count).fill(made.bytesOf(...DOUBLINGS[which]!)))
    ),
  },
);
/** Pieces that grow fast when they are repeated. */
const DOUBLINGS = [
  [made.OP.dup, made.OP.tuple2],
  [made.OP.emptyList, made.OP.dup, made.OP.append],
  [made.OP.mark, made.OP.dup, made.OP.dup, made.OP.tuple],
  [made.OP.mark],
];

/** Pickles of a file: that of an archive, and those of a legacy file. */
type Place = "archive" | "version" | "machine" | "saved" | "keys";

type Input =
  | {
    readonly kind: "archive" | "legacy" | "pickle";
    readonly which: number;
    readonly changes: Mutation[];
  }
  | { readonly kind: "ops"; readonly ops: readonly Uint8Array[]; readonly place: Place }
  | {
    readonly kind: "whole";
    readonly shape: readonly number[];
    readonly isTransposed: boolean;
    readonly isLegacy: boolean;
  };

const input: fc.Arbitrary<Input> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("archive" as const, "legacy" as const, "pickle" as const),
      which: fc.nat(20),
      changes: mutations,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("ops" as const),
      ops: fc.array(op, { maxLength: 25 }),
      place: fc.oneof(
        { weight: 3, arbitrary: fc.constant<Place>("archive") },
        { weight: 2, arbitrary: fc.constantFrom<Place>("version", "machine", "saved", "keys") },
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("whole" as const),
      shape: fc.constantFrom<readonly number[]>([12], [3, 4], [2, 3, 2], [1, 12], [0, 5], [1]),
      isTransposed: fc.boolean(),
      isLegacy: fc.boolean(),
    }),
  },
);

const LIMIT = 40 * 2 ** 20;

export const FUZZER = defineFuzzer<Input>({
  seed: 20_004,
  input,
  // Strided tensors may take 16 MiB, whatever the file's size.
  maxBytes: LIMIT,
  async check(drawn) {
    const bytes = bytesOf(drawn);
    try {
      const states = await decodeTorchFile(bytes, PATH);
      for (const { tensors } of states) {
        for (const { data, shape } of tensors.values()) {
          assert.ok(data.length <= LIMIT && shape.length <= 64);
        }
      }
      if (drawn.kind === "whole") checkWhole(drawn, states[0]!.tensors.get("weight")!.data);
    } catch (error) {
      checkRefusal(error, { naming: PATH });
      assert.notEqual(drawn.kind, "whole");
    }
  },
});

function bytesOf(drawn: Input): Uint8Array {
  switch (drawn.kind) {
    case "archive": {
      const all = [small, ...archives];
      return mutate(all[drawn.which % all.length]!, drawn.changes, [...archives, ...legacy]);
    }
    case "legacy":
      return mutate(legacy[drawn.which % legacy.length]!, drawn.changes, [...archives, ...legacy]);
    case "pickle":
      return around(mutate(pickles[drawn.which % pickles.length]!, drawn.changes, pickles)).bytes;
    case "ops": {
      const pickle = made.pickle(joined(...drawn.ops));
      return drawn.place === "archive" ? around(pickle).bytes : legacyWith(drawn.place, pickle);
    }
    case "whole": {
      const pickle = made.oneTensor({
        count: 12,
        shape: [...drawn.shape],
        strides: stridesOf(drawn),
      });
      return drawn.isLegacy ? made.legacyFile(pickle, storage) : around(pickle).bytes;
    }
  }
}

/** A legacy file, one of whose pickles is another. */
function legacyWith(place: Place, pickle: Uint8Array): Uint8Array {
  const parts: [Place | "", Uint8Array][] = [
    ["", made.pickle(0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19)],
    ["version", made.pickle(made.integer(1001))],
    ["machine", made.pickle(made.OP.emptyDict, made.text("little_endian"), 0x88, made.OP.setItem)],
    ["saved", made.oneTensor({ count: 12, shape: [12] })],
    ["keys", made.pickle(made.OP.emptyList, made.text("0"), made.OP.append)],
    ["", made.littleEndian(12, 8)],
    ["", storage],
  ];
  return joined(...parts.map(([name, bytes]) => name === place ? pickle : bytes));
}

function stridesOf(
  { shape, isTransposed }: { shape: readonly number[]; isTransposed: boolean },
): number[] {
  const order = isTransposed ? [...shape] : shape.toReversed();
  let stride = 1;
  const strides = order.map((size) => {
    const own = stride;
    stride *= size;
    return own;
  });
  return isTransposed ? strides : strides.reverse();
}

/** A tensor's elements, gathered by their definition. */
function checkWhole(
  { shape, isTransposed }: { shape: readonly number[]; isTransposed: boolean },
  data: Uint8Array,
): void {
  const strides = stridesOf({ shape, isTransposed });
  const values = new Float32Array(storage.buffer);
  let offsets = [0];
  shape.forEach((size, dimension) => {
    offsets = offsets.flatMap((offset) =>
      Array.from({ length: size }, (_, i) => offset + i * strides[dimension]!)
    );
  });
  assert.deepEqual(
    [...new Float32Array(data.slice().buffer)],
    offsets.map((offset) => values[offset]),
  );
}
