import assert from "node:assert/strict";
import { join } from "node:path";
import { Ajv, type ErrorObject } from "ajv";
import { parse } from "yaml";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import { type JsonSchema, SCHEMA_PATH } from "../../scripts/config_schema.ts";
import { UsageError } from "../../src/base/errors.ts";
import { loadConfig, validateConfig } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import {
  limitsOf,
  sampleOf,
  type SchemaPlace,
  schemaPlaces,
  smallConfig,
} from "../support/schema_places.ts";

const SCHEMA: JsonSchema = JSON.parse(Deno.readTextFileSync(join(PROJECT_ROOT, SCHEMA_PATH)));
const validate = new Ajv({ allErrors: true, allowUnionTypes: true }).compile(SCHEMA);
const PLACES = schemaPlaces(SCHEMA);
const CONFIGS = join(PROJECT_ROOT, "configs");
const NAMES = Array.from(Deno.readDirSync(CONFIGS), ({ name }) => name)
  .filter((name) => name.endsWith(".yaml"));

/** Values that only the program refuses: keys that exclude each other, orders and sizes, addresses. */
const ONLY_PROGRAM = [
  "model = {}",
  'data.root = "no such value"',
  'data.trainFolder = "no such value"',
  'data.valFolder = "no such value"',
  "data.train = []",
  "data.val = []",
  "train.eps = 3.5",
  'nats.url = "no such value"',
];

/** The keys that the JSON Schema blames, the innermost ones. */
function blamedBySchema(config: unknown): string[] {
  if (validate(config)) return [];
  const steps = validate.errors!.filter(({ keyword }) => !["anyOf", "if"].includes(keyword))
    .map(stepsOf);
  const depth = Math.max(...steps.map(({ length }) => length));
  return [...new Set(steps.filter(({ length }) => length === depth).map((each) => each.join(".")))];
}

function stepsOf({ instancePath, params }: ErrorObject): string[] {
  const key = params.additionalProperty ?? params.missingProperty;
  return [...instancePath.split("/").slice(1), ...(key === undefined ? [] : [String(key)])];
}

/** The keys that the program blames; `*` where no key of its own is. */
function blamedByProgram(config: unknown): string[] {
  try {
    validateConfig(config as ConfigInput);
    return [];
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message.split("\n").map((line) =>
      /^Config: (?:unknown key )?(.+?)(?:: | is )/.exec(line)?.[1] ?? "*"
    );
  }
}

function shown(config: unknown): string {
  return JSON.stringify(config);
}

/** Values to try: of every type, and beyond the limits. */
function valuesFor(schema: JsonSchema): unknown[] {
  const limits = [schema, ...schema.anyOf ?? []].map(limitsOf).flatMap((each) => [
    ...(each.minimum === undefined ? [] : [each.minimum, each.minimum - 1]),
    ...(each.maximum === undefined ? [] : [each.maximum, each.maximum * 2]),
    ...(each.exclusiveMinimum === undefined ? [] : [each.exclusiveMinimum]),
    ...(each.exclusiveMaximum === undefined ? [] : [each.exclusiveMaximum]),
  ]).filter((value) => Math.abs(value) < 1e9);
  const names = [schema, ...schema.anyOf ?? []].flatMap((each) => each.enum ?? []);
  const tuples = [schema, ...schema.anyOf ?? []].flatMap(({ items }) =>
    Array.isArray(items)
      ? [items.map(() => -1e7), items.slice(1).map(sampleOf), items.map(() => true)]
      : []
  );
  return [
    ...limits,
    ...names.slice(0, 1).map((name) => `${name}x`),
    ...tuples,
    true,
    "no such value",
    "",
    3.5,
    -1,
    {},
    { unknown: 1 },
    [],
    [{}],
    null,
  ];
}

Deno.test("the recipes pass the JSON Schema that their first line names, and so do their resolved configs", async () => {
  for (const name of NAMES) {
    const text = await Deno.readTextFile(join(CONFIGS, name));
    assert.match(text, /^# yaml-language-server: \$schema=\.\/config\.schema\.json\n/, name);
    assert.deepEqual(blamedBySchema(parse(text)), [], name);
    const config = await loadConfig(join(CONFIGS, name));
    assert.deepEqual(blamedBySchema(JSON.parse(JSON.stringify(config))), [], name);
  }
});

Deno.test("the configs that the docs show, whole or in part, pass the JSON Schema", async () => {
  const folder = join(PROJECT_ROOT, "docs");
  const docs = Array.from(Deno.readDirSync(folder), ({ name }) => join(folder, name));
  let count = 0;
  for (
    const path of [
      join(PROJECT_ROOT, "README.md"),
      ...docs.filter((name) => name.endsWith(".md")),
    ]
  ) {
    const text = await Deno.readTextFile(path);
    for (const [, block] of text.matchAll(/^```yaml\n(.*?)^```/gms)) {
      validate(parse(block));
      const wrong = (validate.errors ?? []).filter(({ keyword }) => keyword !== "required");
      assert.deepEqual(wrong, [], `${path}: ${block}`);
      count++;
    }
  }
  assert.ok(count > 0);
});

Deno.test("what is tried with each key is valid otherwise", () => {
  for (
    const config of [
      smallConfig(),
      ...PLACES.map((place) => place.with(sampleOf(place.schema))),
    ]
  ) {
    assert.deepEqual(blamedBySchema(config), [], shown(config));
    console.log(blamedByProgram(config), shown(config).slice(0, 200));
  }
  assert.ok(PLACES.length > 150, String(PLACES.length));
});

Deno.test("a misspelt key or argument is refused at the same path by program and JSON Schema", () => {
  for (const place of PLACES) {
    const [holder, key] = [place.path.slice(0, -1), String(place.path.at(-1))];
    for (const name of [`${key}s`, key.slice(0, -1) + "_", key.toUpperCase()]) {
      if (PLACES.some(({ path }) => path.join(".") === [...holder, name].join("."))) continue;
      const config = place.renamed(name);
      // Without its name, a choice has none of its keys.
      const isChoice = name !== key && key === "name" && place.schema.const !== undefined;
      const path = [...holder, isChoice ? key : name].join(".");
      assert.ok(blamedByProgram(config).includes(path), `program: ${path}: ${shown(config)}`);
      assert.ok(blamedBySchema(config).includes(path), `schema: ${path}: ${shown(config)}`);
    }
  }
});

Deno.test("a missing key or argument is refused at the same path by program and JSON Schema", () => {
  for (const place of PLACES.filter(({ isRequired }) => isRequired)) {
    const [config, path] = [place.without(), place.path.join(".")];
    assert.ok(blamedByProgram(config).includes(path), `program: ${path}: ${shown(config)}`);
    assert.ok(blamedBySchema(config).includes(path), `schema: ${path}: ${shown(config)}`);
  }
});

Deno.test("a misspelt transform, mix, layer, schedule or other name is refused at the same path", () => {
  const lists = { transform: "data.train", mix: "data.mix", layer: "model.head" };
  for (const [kind, list] of Object.entries(lists)) {
    const place = PLACES.find(({ path }) => path.join(".") === list)!;
    const { properties } = SCHEMA.definitions![kind].anyOf![0];
    for (const name of Object.keys(properties!)) {
      for (const wrong of [`${name}s`, name.toLowerCase(), name.slice(1)]) {
        for (
          const [item, path] of [[wrong, `${list}.0`], [{ [wrong]: {} }, `${list}.0.${wrong}`]]
        ) {
          const config = place.with([item]);
          assert.ok(blamedByProgram(config).includes(String(path)), `program: ${shown(config)}`);
          assert.deepEqual(blamedBySchema(config), [path], shown(config));
        }
      }
    }
    const two = place.with([
      Object.fromEntries(Object.keys(properties!).map((name) => [name, {}])),
    ]);
    assert.ok(blamedByProgram(two).includes(`${list}.0`), shown(two));
    assert.ok(!validate(two), shown(two));
  }
});

Deno.test("a value of the wrong type or range is refused at the same path by program and JSON Schema", () => {
  const failures: string[] = [];
  for (const place of PLACES) {
    const path = place.path.join(".");
    for (const value of valuesFor(place.schema)) {
      const config = place.with(value);
      const [program, schema] = [blamedByProgram(config), blamedBySchema(config)];
      if (ONLY_PROGRAM.includes(`${path} = ${shown(value)}`)) continue;
      const problem = disagreement(place, program, schema);
      if (problem) {
        failures.push(
          `${path} = ${shown(value)}: ${problem}: program ${program}, schema ${schema}`,
        );
      }
    }
  }
  assert.deepEqual(failures, []);
});

/** Returns the disagreement between program and JSON Schema. */
function disagreement(
  { path }: SchemaPlace,
  program: string[],
  schema: string[],
): string | undefined {
  const key = path.join(".");
  if (schema.length > 0 && program.length === 0) return "the program takes it";
  if (schema.length === 0) {
    return program.some((each) => each.startsWith(key)) ? "the schema takes it" : undefined;
  }
  if (program.some((each) => schema.includes(each))) return;
  // The program says of a number or a list, and the like, that it is neither.
  return program.includes(key) && schema.every((each) => each.startsWith(`${key}.`))
    ? undefined
    : "another path";
}
