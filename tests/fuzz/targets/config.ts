/**
 * Fuzzer of the config loader: configs whose lines, keys and values are altered, and YAML of any kind.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { parseConfig } from "../../../src/config/load.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { anyCharacter, oddValue } from "../json_changes.ts";
import { mutate, mutations } from "../mutations.ts";
import { checkRefusal } from "../refusals.ts";

const SOURCE = "some/fuzzed.yaml";
const FOLDER = join(import.meta.dirname!, "..", "..", "..", "configs");
const FILES = [
  "default.yaml",
  "catdog-densenet121.yaml",
  "cifar10-resnet18.yaml",
  "hymenoptera-finetune.yaml",
];
const texts = FILES.map((file) => {
  const text = Deno.readTextFileSync(join(FOLDER, file));
  // Comments would take most of the changes.
  return text.split("\n").filter((line) => !/^\s*(#|$)/.test(line)).map((line) =>
    line.replace(/\s+#.*$/, "")
  );
});

/** Values in the place of others, as they are written. */
export const oddText: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.constantFrom(
      ...[
        "",
        "~",
        "null",
        "yes",
        "on",
        ".nan",
        ".inf",
        "-.inf",
        "1e999",
        "-0",
        "0x1F",
        "0o7",
        "1_000",
        "12:30:45",
      ],
      ...[
        "1e3",
        "9007199254740993",
        "-1",
        "0.1.2",
        "2024-01-01",
        "!!binary aGk=",
        "!!js/function 'x'",
        "!!str 5",
      ],
      ...[
        "!!set {a, b}",
        "&a [*a]",
        "*missing",
        "[",
        "{",
        "}",
        "]",
        "'",
        '"',
        "|",
        ">",
        "- - - -",
        "? a",
        "<<: *x",
      ],
      ...[
        "{ a: 1 }",
        "{a:1}",
        "[1, 2",
        "[[[[1]]]]",
        "{ type: step }",
        "{ CenterCrop: 224 }",
        "\ttab",
        "\u0000",
        "\u001b[2J",
      ],
      ...[
        "@x",
        "`x`",
        "%x",
        "__proto__",
        "constructor",
        "{ __proto__: { a: 1 } }",
        "nats://u:p@h:1",
        "file:///etc/passwd",
      ],
    ),
  },
  { weight: 20, arbitrary: oddValue.map((value) => JSON.stringify(value) ?? "") },
  { weight: 20, arbitrary: fc.string({ maxLength: 12 }) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom("x", "[", "{a: ", "- ", "[[1,", "!", "? "), fc.nat(1_000))
      .map(([part, count]) => part.repeat(count)),
  },
);
const KEYS = [
  ...[
    "seed",
    "train",
    "data",
    "model",
    "optim",
    "epochs",
    "lr",
    "schedule",
    "batchSize",
    "__proto__",
    "<<",
    "workers",
  ],
  ...[
    "toString",
    "constructor",
    "",
    "1",
    "null",
    "name",
    "augment",
    "transforms",
    "val",
    "checkpoints",
    "nats",
    "x y",
  ],
];

/** A change of a line. */
const change = fc.record({
  kind: fc.constantFrom(
    "value",
    "value",
    "value",
    "key",
    "remove",
    "repeat",
    "indent",
    "tab",
    "insert" as const,
  ),
  line: fc.nat(300),
  text: oddText,
  key: fc.oneof(fc.constantFrom(...KEYS), fc.string({ maxLength: 6 })),
  by: fc.integer({ min: -4, max: 4 }),
});
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

const edited = fc.tuple(fc.constantFrom(...texts), fc.array(change, { maxLength: 3 })).map(
  ([lines, changes]) => {
    const own = [...lines];
    for (const each of changes) edit(own, each);
    return own.join("\n") + "\n";
  },
);

function edit(lines: string[], { kind, line, text, key, by }: Change): void {
  if (lines.length === 0) return;
  const at = line % lines.length;
  const own = lines[at]!;
  const [, indent = "", name = "", value = ""] = /^(\s*(?:- )?)([^:]*)(.*)$/s.exec(own) ?? [];
  if (kind === "value") lines[at] = `${indent}${name}: ${text}`;
  else if (kind === "key") lines[at] = `${indent}${key}${value}`;
  else if (kind === "remove") lines.splice(at, 1);
  else if (kind === "repeat") lines.splice(at, 0, own);
  else if (kind === "indent") lines[at] = by > 0 ? " ".repeat(by) + own : own.slice(-by);
  else if (kind === "tab") lines[at] = `\t${own}`;
  else lines.splice(at, 0, `${indent}${key}: ${text}`);
}

/** Aliases that expand to many nodes. */
const bombs = fc.tuple(
  fc.integer({ min: 1, max: 12 }),
  fc.integer({ min: 1, max: 10 }),
  fc.boolean(),
).map(
  ([levels, width, isMap]) => {
    const lines = [`a0: &a0 ${isMap ? "{ x: 1 }" : "[lol]"}`];
    for (let level = 1; level <= levels; level++) {
      const alias = `*a${level - 1}`;
      const items = Array.from({ length: width }, (_, i) => isMap ? `k${i}: ${alias}` : alias).join(
        ", ",
      );
      lines.push(`a${level}: &a${level} ${isMap ? `{ ${items} }` : `[${items}]`}`);
    }
    return lines.join("\n");
  },
);

const input = fc.oneof(
  { weight: 16, arbitrary: edited },
  {
    weight: 3,
    arbitrary: fc.tuple(edited, mutations).map(([text, changes]) =>
      new TextDecoder().decode(mutate({ bytes: new TextEncoder().encode(text) }, changes))
    ),
  },
  { weight: 1, arbitrary: bombs },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.stringify(value)) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom("[", "{a: ", "- ", "? ", "{a: [", "!!x "), fc.nat(1_500))
      .map(
        ([open, count]) => open.repeat(count),
      ),
  },
  { weight: 1, arbitrary: fc.string({ unit: anyCharacter, maxLength: 60 }) },
);

export const FUZZER = defineFuzzer<string>({
  seed: 20_006,
  input,
  maxBytes: 64 * 2 ** 20,
  check(text) {
    const before = Object.keys(Object.prototype).length;
    try {
      const config = parseConfig(text, SOURCE);
      assert.ok(Number.isSafeInteger(config.train.epochs), "what is read is a config");
    } catch (error) {
      checkRefusal(error, { mayQuote: true });
      // A check across keys names the keys, which may stand in several places.
      assert.match((error as Error).message, /some\/fuzzed\.yaml|\b[a-z]+\.[a-z]+/i);
    }
    assert.equal(Object.keys(Object.prototype).length, before, "no prototype is changed");
  },
});
