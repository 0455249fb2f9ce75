/**
 * Fuzzer of checkpoints: files that are altered, exchanged, missing, or of another checkpoint, and descriptions whose
 * fields lie under the right digest.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import fc from "fast-check";
import {
  type Checkpoint,
  readCheckpoint,
  readCheckpointInfo,
  writeCheckpoint,
} from "../../../src/checkpoint/checkpoint.ts";
import { decodeWithDigest, encodeWithDigest } from "../../../src/checkpoint/checkpoint_digest.ts";
import type { TorchTensor } from "../../../src/weights/torch_tensor.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { changeJson, type JsonChange, jsonChanges } from "../json_changes.ts";
import { memoryFolder } from "../memory_folder.ts";
import { mutate, type Mutation, mutations } from "../mutations.ts";
import { checkRefusal } from "../refusals.ts";

const INFO = "checkpoint.json";
const FILES = [INFO, "model.safetensors", "optimizer.safetensors", "averages.safetensors"];
const FACTS = {
  model: { name: "resnet18", numClasses: 2, dropout: 0.5 },
  classes: ["ants", "bees \u{1f41d}"],
  epoch: 2,
  step: 5,
  globalBatch: 8,
  optimizerSteps: 45,
  train: { lossSum: 3.25, weight: 8, correct: 4, count: 8 },
  seconds: 1.5,
  pending: { lossSum: 1, weight: 2, correct: 1, count: 2, ranks: [1, 1], seconds: 0.5 },
  lossScale: { scale: 65536, growthTracker: 3, skippedSteps: 0 },
  nonFinite: { inARow: 1, ofEpoch: 2 },
  history: { epochs: 1, losses: 40, validations: 1, digest: "0123abcd" },
  accuracy: 0.75,
  fingerprint: "a1b2",
  config: { seed: 7, train: { epochs: 3, lr: 0.1 }, data: { train: [{ Resize: 8 }] } },
};

function stateOf(seed: number): Map<string, TorchTensor> {
  const data = new Uint8Array(Float32Array.from({ length: 6 }, (_, i) => seed + i).buffer);
  return new Map([
    ["fc.weight", { dtype: "float32", shape: [2, 3], data }],
    ["fc.bias", { dtype: "float32", shape: [2], data: data.slice(0, 8) }],
  ]);
}

interface Input {
  /** The file that is altered, and a second one. */
  readonly file: number;
  readonly other: number;
  readonly fault:
    | { readonly kind: "bytes"; readonly changes: readonly Mutation[] }
    /** The description's JSON; with the right digest where `isSigned`. */
    | {
      readonly kind: "fields";
      readonly changes: readonly JsonChange[];
      readonly isSigned: boolean;
    }
    /** A file of tensors whose hash in the description is right. */
    | { readonly kind: "hashed"; readonly changes: readonly Mutation[] }
    | { readonly kind: "exchange" | "missing" | "folder" | "foreign" };
}

let folder: Awaited<ReturnType<typeof memoryFolder>>;
let path: string;
let whole: Checkpoint;
let files: Map<string, Uint8Array>;
let foreign: Map<string, Uint8Array>;

export const FUZZER = defineFuzzer<Input>({
  seed: 20_011,
  input: fc.record({
    file: fc.nat(3),
    other: fc.nat(3),
    fault: fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ kind: fc.constant("bytes" as const), changes: mutations }),
      },
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant("fields" as const),
          changes: jsonChanges,
          isSigned: fc.boolean(),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant("hashed" as const), changes: mutations }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constantFrom(
            "exchange" as const,
            "missing" as const,
            "folder" as const,
            "foreign" as const,
          ),
        }),
      },
    ),
  }),
  async setUp() {
    folder = await memoryFolder();
    const write = async (name: string, step: number) => {
      const tensors = {
        model: stateOf(step),
        optimizer: stateOf(-step),
        averages: stateOf(step / 2),
      };
      await writeCheckpoint(folder.path, name, { ...FACTS, step }, tensors);
      const read = async (file: string) =>
        [file, await Deno.readFile(join(folder.path, name, file))] as const;
      return new Map(await Promise.all(FILES.map(read)));
    };
    files = await write("last", 5);
    foreign = await write("best", 6);
    path = join(folder.path, "last");
    whole = await readCheckpoint(path);
    return folder;
  },
  async check(drawn) {
    const changed = alter(drawn);
    try {
      for (const [name, bytes] of changed) put(name, bytes);
      const isSame = [...changed].every(([name, bytes]) =>
        bytes !== undefined && isEqual(bytes, files.get(name)!)
      );
      await check(drawn, isSame);
    } finally {
      for (const name of changed.keys()) {
        if (changed.get(name) === "folder") Deno.removeSync(join(path, name));
        Deno.writeFileSync(join(path, name), files.get(name)!);
      }
    }
  },
});

/** A file that is there instead; a folder where it is an empty text. */
type Replacement = Uint8Array | "folder" | undefined;

/** The files that are altered, as they are then; nothing for one that is gone. */
function alter({ file, other, fault }: Input): Map<string, Replacement> {
  const name = FILES[file]!;
  const bytes = files.get(name)!;
  switch (fault.kind) {
    case "bytes": {
      const others = [...files.values(), ...foreign.values()].map((bytes) => ({ bytes }));
      return new Map([[
        name,
        mutate({ bytes, fields: [{ at: 0, bytes: 8 }] }, fault.changes, others),
      ]]);
    }
    case "fields": {
      const { json } = decodeWithDigest(files.get(INFO)!);
      return new Map([[INFO, described(changeJson(json, fault.changes), fault.isSigned)]]);
    }
    case "hashed": {
      const tensors = FILES[1 + file % 3]!;
      const altered = mutate(
        { bytes: files.get(tensors)!, fields: [{ at: 0, bytes: 8 }] },
        fault.changes,
      );
      const { json } = decodeWithDigest(files.get(INFO)!);
      const { sha256, ...info } = json as { sha256: Record<string, string> };
      const hash = createHash("sha256").update(altered).digest("hex");
      return new Map([
        [tensors, altered],
        [INFO, described({ ...info, sha256: { ...sha256, [tensors]: hash } }, true)],
      ]);
    }
    case "exchange":
      return new Map([[name, files.get(FILES[other]!)], [FILES[other]!, bytes]]);
    case "foreign":
      return new Map([[name, foreign.get(name)]]);
    default:
      return new Map([[name, fault.kind === "folder" ? "folder" : undefined]]);
  }
}

function described(json: unknown, isSigned: boolean): Uint8Array {
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  return isSigned && isObject && Object.keys(json).length > 0
    ? encodeWithDigest(json)
    : new TextEncoder().encode(JSON.stringify(json) ?? "");
}

function put(name: string, bytes: Replacement): void {
  const place = join(path, name);
  if (bytes instanceof Uint8Array) return Deno.writeFileSync(place, bytes);
  Deno.removeSync(place);
  if (bytes === "folder") Deno.mkdirSync(place);
}

async function check({ fault }: Input, isSame: boolean): Promise<void> {
  // What is signed was written so: it may be read, if its form is right.
  const mayBeRead = isSame || (fault.kind === "fields" && fault.isSigned) ||
    fault.kind === "hashed" ||
    (fault.kind === "fields" && fault.changes.length > 0); // an older version has no digest
  for (const read of [readCheckpoint, readCheckpointInfo]) {
    try {
      const found = await read(path);
      const info = "info" in found ? found.info : found;
      assert.ok(
        Number.isSafeInteger(info.epoch) && info.epoch >= 0 && Number.isSafeInteger(info.step),
      );
      if (isSame && "info" in found) assert.deepEqual(found, whole);
      const isDescription = read === readCheckpointInfo; // which says nothing about the other files
      assert.ok(mayBeRead || isDescription, "no altered byte goes unseen");
      // A whole description of another checkpoint is one; only the other files tell that it isn't this one's.
      const isForeign = isEqual(await Deno.readFile(join(path, INFO)), foreign.get(INFO)!);
      if (isDescription && !mayBeRead && !isForeign) {
        assert.deepEqual(info, whole.info, "an altered description goes unseen");
      }
    } catch (error) {
      checkRefusal(error, { naming: path, mayQuote: true });
      assert.ok(!isSame, String(error));
    }
  }
}

function isEqual(a: Replacement, b: Uint8Array): boolean {
  return a instanceof Uint8Array && a.length === b.length && a.every((byte, i) => byte === b[i]);
}
