/**
 * The formats in which convolutions and matrix products multiply, and the check that a device has them.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { nativeVariable } from "./binding/native_environment.ts";
import { type CpuFacts, hasBfloat16, readCpu } from "./cpu_facts.ts";

/** Names of the formats. */
export const PRECISIONS = ["float32", "tf32", "float16", "bfloat16"] as const;

/** The format of the factors of convolutions and matrix products. */
export type Precision = typeof PRECISIONS[number];

/** Names that earlier versions had. */
export const FORMER_PRECISIONS = { bf16: "bfloat16" } as const satisfies Record<string, Precision>;

/** Returns the format with a name, an earlier one included. */
export function precisionNamed(name: string): Precision | undefined {
  const present = Object.hasOwn(FORMER_PRECISIONS, name)
    ? FORMER_PRECISIONS[name as keyof typeof FORMER_PRECISIONS]
    : name;
  return PRECISIONS.find((precision) => precision === present);
}

/** Tells whether activations are kept with 16 bits. */
export function isHalf(precision: Precision): precision is "float16" | "bfloat16" {
  return precision === "float16" || precision === "bfloat16";
}

/** A GPU, as far as its formats go. */
export interface PrecisionGpu {
  readonly name: string;
  /** Such as 8.0; unknown to old drivers. */
  readonly computeCapability?: number | undefined;
}

/** The first compute capability whose tensor cores multiply a format; float32 is everywhere. */
const TENSOR_CORES = { float16: 7, tf32: 8, bfloat16: 8 } as const;

/** Turns TF32 off in cuBLAS and cuDNN if it is 0. */
const TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE";

/**
 * Checks a format on the devices that compute.
 *
 * @param gpus The GPUs; none where the CPU computes
 * @returns A warning where the numbers are right but slow to compute
 * @throws {UsageError} where the devices would compute with another format, naming the cure
 */
export function checkPrecision(
  precision: Precision,
  gpus: readonly PrecisionGpu[],
  cpu: CpuFacts | undefined = readCpu(),
): string | undefined {
  if (precision === "float32") return undefined;
  if (gpus.length > 0) return checkGpus(precision, gpus);
  switch (precision) {
    case "tf32":
      throw new UsageError(
        "engine.precision is tf32, which only GPUs have, but this machine computes on the CPU: " +
          "set engine.precision to float32",
      );
    case "float16":
      return `engine.precision is float16, which ${
        nameOf(cpu)
      } converts to float32 and back for each ` +
        "product: the numbers are float16's, the steps take many times longer than with float32. " +
        "To train faster, set engine.precision to float32";
    case "bfloat16":
      return checkBfloat16(cpu);
  }
}

/**
 * Returns the format in which devices score a model that was trained with a format: float32 where they lack it.
 *
 * @returns The format, and a sentence where it is another one, or slow
 */
export function scoringPrecision(
  trained: Precision,
  gpus: readonly PrecisionGpu[],
  cpu: CpuFacts | undefined = readCpu(),
): { precision: Precision; note?: string } {
  try {
    const note = checkPrecision(trained, gpus, cpu);
    return { precision: trained, ...(note === undefined ? {} : { note }) };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const where = gpus.length > 0 ? gpus.map(({ name }) => name).join(", ") : nameOf(cpu);
    return {
      precision: "float32",
      note:
        `The model was trained with engine.precision ${trained}, which isn't to be had on ${where}: it is scored ` +
        "with float32",
    };
  }
}

function checkGpus(
  precision: Exclude<Precision, "float32">,
  gpus: readonly PrecisionGpu[],
): string | undefined {
  const least = TENSOR_CORES[precision];
  const old = gpus.find(({ computeCapability = least }) => computeCapability < least);
  if (precision === "tf32" && nativeVariable(TF32_OVERRIDE) === "0") {
    throw new UsageError(
      `engine.precision is tf32, but ${TF32_OVERRIDE} is 0, with which the GPU's libraries keep float32: unset the ` +
        "variable, or set engine.precision to float32",
    );
  }
  if (!old) return undefined;
  const has = `${old.name} has compute capability ${old.computeCapability!.toFixed(1)}`;
  if (precision === "float16") {
    return `engine.precision is float16, which GPUs multiply faster from compute capability ${
      least.toFixed(1)
    } on, but ${has}: it saves memory, and may be slower than float32`;
  }
  throw new UsageError(
    `engine.precision is ${precision}, which GPUs multiply from compute capability ${
      least.toFixed(1)
    } on, but ${has}: set engine.precision to float32 or float16`,
  );
}

function checkBfloat16(cpu: CpuFacts | undefined): string | undefined {
  if (nativeVariable("TF_ENABLE_ONEDNN_OPTS") === "0") {
    throw new UsageError(
      "engine.precision is bfloat16, but TF_ENABLE_ONEDNN_OPTS is 0, and without oneDNN TensorFlow keeps float32: " +
        "unset the variable, or set engine.precision to float32",
    );
  }
  if (cpu && hasBfloat16(cpu)) return undefined;
  return `engine.precision is bfloat16, but ${
    nameOf(cpu)
  } has neither AMX nor AVX512-BF16: the numbers are ` +
    "bfloat16's, the steps take several times longer than with float32. To train faster, set engine.precision to " +
    "float32";
}

function nameOf(cpu: CpuFacts | undefined): string {
  return cpu?.model ?? "this CPU";
}
