import type { JsonSchema } from "../../scripts/config_schema.ts";

/** A key of the config's JSON Schema, and how a valid config gets a value there. */
export interface SchemaPlace {
  /** Steps from the root; positions in lists are numbers. */
  readonly path: readonly (string | number)[];
  readonly schema: JsonSchema;
  /** True if the section of the key requires it. */
  readonly isRequired: boolean;
  /** A valid config but for the value of the key. */
  with(value: unknown): Record<string, unknown>;
  /** The same with another name for the key. */
  renamed(name: string): Record<string, unknown>;
  /** The same without the key. */
  without(): Record<string, unknown>;
}

type Path = readonly (string | number)[];
type Wrap = (part: unknown) => Record<string, unknown>;

const NORMALIZE = { Normalize: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } };

/** A small valid config. */
export function smallConfig(): Record<string, unknown> {
  return {
    model: { name: "resnet18" },
    data: {
      dataset: "hymenoptera",
      train: [{ RandomResizedCrop: 8 }, NORMALIZE],
      val: [{ Resize: [8, 8] }, NORMALIZE],
    },
    train: { epochs: 1, batchSize: 2 },
  };
}

/** All keys of the schema, those of choices and of named things' arguments included. */
export function schemaPlaces(root: JsonSchema): SchemaPlace[] {
  const definitions = root.definitions!;
  const places = keysOf(root, [], (config) => config as Record<string, unknown>, smallConfig());
  const section = (key: string, part: Record<string, unknown>) => {
    const config = smallConfig();
    return { ...config, [key]: { ...config[key] as Record<string, unknown>, ...part } };
  };
  const lists: [kind: string, path: Path, wrap: (item: unknown, name: string) => Wrapped][] = [
    ["transform", ["data", "train"], (item, name) => transforms(item, name)],
    ["transform", ["data", "val"], (item, name) => transforms(item, name)],
    ["mix", ["data", "mix"], (item) => ({ list: [item], at: 0 })],
    ["layer", ["model", "head"], (item) => ({ list: [{ Linear: 4 }, item], at: 1 })],
  ];
  for (const [kind, [first, second], listOf] of lists) {
    const { properties } = definitions[kind].anyOf![0];
    for (const [name, { anyOf }] of Object.entries(properties!)) {
      const { at } = listOf({}, name);
      const wrap: Wrap = (args) => {
        const { list } = listOf({ [name]: args }, name);
        return section(String(first), { [second]: kind === "layer" ? [...list, END] : list });
      };
      places.push(...keysOf(anyOf![0], [first, second, at, name], wrap, sampleOf(anyOf![0])));
    }
  }
  return places;
}

const END = { Linear: "classes" };

interface Wrapped {
  readonly list: unknown[];
  /** Position of the item. */
  readonly at: number;
}

/** A list of transforms in which one may stand. */
function transforms(item: unknown, name: string): Wrapped {
  const crop = { RandomResizedCrop: 8 };
  if (name === "Normalize") return { list: [crop, item], at: 1 };
  if (name === "RandomErasing") return { list: [crop, NORMALIZE, item], at: 2 };
  return { list: [item, crop, NORMALIZE], at: 0 };
}

/** The keys of a mapping and of what it holds. */
function keysOf(schema: JsonSchema, path: Path, wrap: Wrap, base: unknown): SchemaPlace[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, part]) => {
    const holder = base as Record<string, unknown>;
    const place: SchemaPlace = {
      path: [...path, key],
      schema: part,
      isRequired: schema.required?.includes(key) ?? false,
      with: (value) => wrap({ ...holder, [key]: value }),
      renamed: (name) => {
        const { [key]: present = sampleOf(part), ...others } = holder;
        return wrap({ ...others, [name]: present });
      },
      without: () => {
        const { [key]: _, ...others } = holder;
        return wrap(others);
      },
    };
    return [place, ...inner(part, place, holder[key])];
  });
}

/** The keys within the value of a key. */
function inner(
  schema: JsonSchema,
  { path, with: wrap }: SchemaPlace,
  base: unknown,
): SchemaPlace[] {
  if (schema.allOf) {
    return schema.allOf.flatMap(({ then }) => keysOf(then!, path, wrap, sampleOf(then!)));
  }
  if (schema.items && !Array.isArray(schema.items)) {
    return keysOf(schema.items, [...path, 0], (item) => wrap([item]), sampleOf(schema.items));
  }
  const mappings = [schema, ...schema.anyOf ?? []].filter(({ properties }) => properties);
  return mappings.flatMap((each) => keysOf(each, path, wrap, base ?? sampleOf(each)));
}

/** Lists of named things. */
const SAMPLES: Record<string, unknown[]> = {
  "#/definitions/transform": [{ RandomResizedCrop: 8 }, NORMALIZE],
  "#/definitions/mix": [{ MixUp: 1 }],
  "#/definitions/layer": [END],
};

/** A small value that a schema takes. */
export function sampleOf(schema: JsonSchema): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf) return sampleOf(schema.anyOf[0]);
  if (schema.allOf) return sampleOf(schema.allOf[0].then!);
  const { minimum, exclusiveMinimum, maximum, exclusiveMaximum } = limitsOf(schema);
  switch (schema.type) {
    case "integer":
      return minimum !== undefined && minimum > -1e9 ? minimum : (exclusiveMinimum ?? 0) + 1;
    case "number": {
      if (minimum !== undefined) return minimum;
      const low = exclusiveMinimum ?? 0;
      return (low + Math.min(maximum ?? exclusiveMaximum ?? low + 1, low + 1)) / 2;
    }
    case "string":
      return "text";
    case "null":
      return null;
    case "array":
      if (Array.isArray(schema.items)) return schema.items.map(sampleOf);
      return SAMPLES[schema.items?.$ref ?? ""] ?? [sampleOf(schema.items!)];
    case "object":
      return Object.fromEntries(
        (schema.required ?? []).map((key) => [key, sampleOf(schema.properties![key])]),
      );
  }
  return false; // a switch, or a switch that may be null
}

/** The limits of a number. */
export interface Limits {
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  exclusiveMaximum?: number;
}

/** The limits that a schema sets to a number. */
export function limitsOf(schema: JsonSchema): Limits {
  return schema as Limits;
}
