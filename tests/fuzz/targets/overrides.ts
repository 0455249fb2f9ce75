/**
 * Fuzzer of `--set`: keys and values of any kind, over the default config.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseConfig } from "../../../src/config/load.ts";
import { parseOverride } from "../../../src/config/override.ts";
import { keysOf, nodesAt, rootNodes } from "../../../src/config/schema_paths.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { checkRefusal } from "../refusals.ts";
import { oddText } from "./config.ts";

/** Every key of the config, dotted. */
const KEYS = keysBelow([]);

function keysBelow(path: readonly string[]): string[] {
  const keys = path.length === 0
    ? keysOf(rootNodes())
    : path.length < 4
    ? keysOf(nodesAt(path))
    : [];
  return keys.flatMap((key) => [[...path, key].join("."), ...keysBelow([...path, key])]);
}

const ODD_STEPS = [
  "__proto__",
  "constructor",
  "prototype",
  "0",
  "1",
  "-1",
  "99",
  "",
  " ",
  "x",
  "a=b",
  "length",
  "toString",
];
const step = fc.oneof(fc.constantFrom(...ODD_STEPS), fc.string({ maxLength: 6 }));
const key = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...KEYS) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom(...KEYS), step).map((parts) => parts.join(".")),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom(...KEYS), step, step).map((parts) => parts.join(".")),
  },
  { weight: 1, arbitrary: fc.array(step, { maxLength: 4 }).map((steps) => steps.join(".")) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...KEYS).map((text) =>
      text.slice(0, -1) + text.slice(-1).toUpperCase()
    ),
  },
);
const value = fc.oneof(
  oddText,
  fc.constantFrom(...[
    "0.1",
    "5",
    "true",
    "adam",
    "resnet18",
    "cosine",
    "null",
    "{}",
    "[]",
    "[{ Resize: 8 }]",
    "sgd",
  ]),
);
const one = fc.oneof(
  { weight: 12, arbitrary: fc.tuple(key, value).map(([name, text]) => `${name}=${text}`) },
  { weight: 1, arbitrary: fc.string({ maxLength: 20 }) },
);

export const FUZZER = defineFuzzer<string[]>({
  seed: 20_007,
  input: fc.array(one, { minLength: 1, maxLength: 3 }),
  maxBytes: 64 * 2 ** 20,
  check(texts) {
    const before = Object.keys(Object.prototype).length;
    try {
      const overrides = texts.map(parseOverride);
      const config = parseConfig(
        "workers: 2\ntrain: { epochs: 3 }\n",
        "some/fuzzed.yaml",
        overrides,
      );
      assert.ok(Number.isSafeInteger(config.train.epochs));
    } catch (error) {
      checkRefusal(error, { mayQuote: true, maxLength: 8_000 + 4 * texts.join("").length });
      const { message } = error as Error;
      const keys = texts.map((text) => text.split("=")[0]!.trim());
      assert.ok(
        message.includes("--set") || message.includes("fuzzed.yaml") ||
          keys.some((each) => message.includes(each)),
        `it says where: ${message}`,
      );
    }
    assert.equal(Object.keys(Object.prototype).length, before, "no prototype is changed");
  },
});
