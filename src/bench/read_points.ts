/**
 * Reads what `bench allreduce` wrote.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { readRegularText } from "../base/regular_file.ts";
import { GRADIENT_DTYPES, type GradientDtype } from "../protocol/messages.ts";
import type { CostPoint } from "./cost_model.ts";

const resultSchema = z.object({
  kind: z.literal("allreduce"),
  exchange: z.string(),
  dtype: z.enum(GRADIENT_DTYPES).default("float32"),
  cores: z.int().positive(),
  points: z.array(z.object({
    workers: z.int().positive(),
    bytes: z.int().positive(),
    milliseconds: z.number().positive(),
  })),
});

/** Measured points and where they come from. */
export interface MeasuredPoints {
  readonly exchange: string;
  /** The dtype in which the values travelled. */
  readonly dtype: GradientDtype;
  readonly cores: number;
  readonly points: readonly CostPoint[];
}

/**
 * Reads `result.json` files of `bench allreduce` as one measurement.
 *
 * @throws {UsageError} when a file is none, or the files are of different exchanges, dtypes or machines
 */
export async function readPoints(paths: readonly string[]): Promise<MeasuredPoints> {
  const all = await Promise.all(paths.map(readOne));
  const [first] = all;
  const how = ({ exchange, dtype, cores }: MeasuredPoints) =>
    `${exchange}, ${dtype}, ${cores} cores`;
  const other = all.findIndex((points) => how(points) !== how(first));
  if (other > 0) {
    throw new UsageError(
      `${paths[0]} (${how(first)}) and ${paths[other]} (${
        how(all[other])
      }) can't be fitted together: ` +
        "give files of one exchange, dtype and machine",
    );
  }
  return { ...first, points: all.flatMap(({ points }) => points) };
}

async function readOne(path: string): Promise<MeasuredPoints> {
  const cure = "give a result.json that deno task bench allreduce --out DIR wrote";
  let tree: unknown;
  try {
    tree = JSON.parse(await readRegularText(path));
  } catch (error) {
    throw new UsageError(`${path} can't be read (${reasonOf(error)}): ${cure}`);
  }
  const parsed = resultSchema.safeParse(tree);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(
    `${path} is no measurement of all-reduce, ${
      issue.path.join(".") || "the whole"
    }: ${issue.message}: ${cure}`,
  );
}
