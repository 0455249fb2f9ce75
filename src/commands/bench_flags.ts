/**
 * Flags that several benchmarks have.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import type { CallOptions } from "../engine/capture/call_options.ts";
import { precisionNamed, PRECISIONS } from "../engine/precision.ts";
import type { ModelName } from "../models/registry.ts";
import type { Column } from "../terminal/table.ts";
import type { Flag, Flags } from "./flags.ts";
import { modelNamed } from "./model_named.ts";

/** Names that others have for `--batch`, which counts per worker or over all, as the benchmark says. */
export const ALSO_BATCH: readonly string[] = ["batch-size", "bs"];

/** Flags of the benchmarks that start workers. */
export const CLUSTER_FLAGS: readonly Flag[] = [
  { name: "exchange", value: "NAME", help: "How vectors travel: a value of the key exchange" },
  { name: "nats", value: "URL", help: "Use a running nats-server instead of starting one" },
];

/** Flags of the benchmarks that compute steps. */
export const ENGINE_FLAGS: readonly Flag[] = [
  {
    name: "precision",
    value: "NAME",
    help: `${PRECISIONS.join(", ")}, as engine.precision (default: float32)`,
  },
  { name: "xla", help: "Compile the step with XLA, as engine.xla" },
];

/**
 * Values of {@linkcode ENGINE_FLAGS}.
 *
 * @throws {UsageError} for an unknown precision
 */
export function engineSettings(flags: Flags): CallOptions {
  const name = flags.text("precision") ?? "float32";
  const precision = precisionNamed(name);
  if (precision === undefined) {
    throw new UsageError(`--precision is ${name}: give ${PRECISIONS.join(", ")}`);
  }
  return { precision, xla: flags.on("xla") };
}

/** Flags of the benchmarks that write files. */
export const OUTPUT_FLAGS: readonly Flag[] = [
  { name: "out", value: "DIR", help: "Write result.json, .csv, .svg and .png there" },
  { name: "json", help: "Print one line of JSON instead of the table" },
];

/** Values of {@linkcode CLUSTER_FLAGS}; news go to standard error. */
export function clusterSettings(flags: Flags) {
  const exchange = flags.text("exchange");
  const nats = flags.text("nats");
  return {
    ...(exchange === undefined ? {} : { exchange }),
    ...(nats === undefined ? {} : { nats }),
    onNews: (line: string) => console.error(line),
  };
}

/**
 * The architecture that `--model` names.
 *
 * @throws {UsageError} naming the nearest one
 */
export function modelFlag(flags: Flags): ModelName {
  return modelNamed(flags.text("model") ?? "resnet18");
}

/**
 * A flag's value as a number above 0 (or at least 0).
 *
 * @throws {UsageError} when it is none
 */
export function numberFlag(flags: Flags, name: string, zero = false): number | undefined {
  const text = flags.text(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && (value > 0 || (zero && value === 0))) {
    return value;
  }
  throw new UsageError(`--${name} is ${text}: give a number ${zero ? "of at least" : "above"} 0`);
}

/**
 * Refuses arguments that are not flags.
 *
 * @throws {UsageError} naming the first
 */
export function refusePositional(flags: Flags, command: string): void {
  const [first] = flags.positional;
  if (first === undefined) return;
  throw new UsageError(`Unexpected argument "${first}" of ${command}: flags start with --`);
}

/** Prints a table that fits the terminal; a pipe gets all of it. */
export async function printTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): Promise<void> {
  const { fitTable } = await import("../terminal/table.ts");
  const { standardStream } = await import("../terminal/terminal_stream.ts");
  const { isTerminal, columns: width } = standardStream("stdout");
  const { lines, leftOut } = fitTable(columns, rows, isTerminal ? width : Infinity);
  console.log(lines.join("\n"));
  if (leftOut.length > 0) console.log(`Left out for want of room: ${leftOut.join(", ")}`);
}
