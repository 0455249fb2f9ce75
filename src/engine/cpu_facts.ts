/**
 * The processor of this machine, as far as its formats of numbers go.
 *
 * @module
 */
import { readNative } from "./binding/native_environment.ts";

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
export function hasBfloat16({ flags }: CpuFacts): boolean {
  return IN_HARDWARE.some((flag) => flags.has(flag));
}
