/**
 * The check that a machine computes with bfloat16.
 *
 * @module
 */
import { nativeVariable, readNative } from "./binding/native_environment.ts";
import { UsageError } from "../base/errors.ts";

/** Flags of `/proc/cpuinfo` with which oneDNN has products of bfloat16 in hardware (x86, then ARM). */
const IN_HARDWARE = ["amx_bf16", "avx512_bf16", "bf16"];

/** A CPU's description of itself. */
export interface CpuFacts {
  readonly model: string;
  readonly flags: ReadonlySet<string>;
}

/** Reads the text of Linux's `/proc/cpuinfo`: the first processor stands for all. */
export function parseCpuInfo(text: string): CpuFacts {
  const value = (...names: string[]) => {
    const line = text.split("\n").find((line) => names.includes(line.split(":")[0].trim()));
    return line?.slice(line.indexOf(":") + 1).trim() ?? "";
  };
  const flags = value("flags", "Features").split(/\s+/).filter((flag) => flag !== "");
  return { model: value("model name") || "unknown CPU", flags: new Set(flags) };
}

/** The processor of this machine; nothing where the system doesn't tell. */
export function readCpu(): CpuFacts | undefined {
  if (Deno.build.os !== "linux") return undefined;
  const text = readNative("/proc/cpuinfo");
  return text === undefined ? undefined : parseCpuInfo(text);
}

/** Tells whether products of bfloat16 are in the CPU's hardware. */
export function hasBf16({ flags }: CpuFacts): boolean {
  return IN_HARDWARE.some((flag) => flags.has(flag));
}

/**
 * Checks bfloat16 on a machine before its use.
 *
 * @param gpu `true` where TensorFlow places ops on a GPU
 * @returns A warning where the numbers are right but slow to compute; nothing where the hardware has bfloat16
 * @throws {UsageError} where TensorFlow would go on with float32 without a warning
 */
export function checkBf16(gpu: boolean, cpu: CpuFacts | undefined = readCpu()): string | undefined {
  const cure = "set engine.precision to float32";
  if (gpu) {
    throw new UsageError(
      "engine.precision is bf16, but TensorFlow sees a GPU, and its rewrite to bfloat16 is for CPUs only: " +
        `${cure} (recent GPUs multiply float32 as TF32 anyway), or set device to cpu`,
    );
  }
  if (nativeVariable("TF_ENABLE_ONEDNN_OPTS") === "0") {
    throw new UsageError(
      "engine.precision is bf16, but TF_ENABLE_ONEDNN_OPTS is 0, and without oneDNN TensorFlow keeps float32: " +
        `unset the variable, or ${cure}`,
    );
  }
  if (cpu && hasBf16(cpu)) return undefined;
  return `engine.precision is bf16, but ${
    cpu?.model ?? "this CPU"
  } has neither AMX nor AVX512-BF16: the numbers are ` +
    `bfloat16's, the steps take several times longer than with float32. To train faster, ${cure}`;
}
