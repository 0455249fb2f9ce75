/**
 * NVIDIA's driver, asked before TensorFlow asks it: TensorFlow goes on with the CPU when something is wrong.
 *
 * @module
 */
import { UsageError } from "../../base/errors.ts";
import {
  capabilityProblem,
  cudaProblem,
  type CudaSituation,
  noGpu,
  nvmlMissing,
  nvmlProblem,
  ON_CPU,
} from "./cuda_problems.ts";
import { loadForGood } from "./dynamic_loader.ts";
import { nativeVariable } from "./native_environment.ts";

const DRIVER = "libcuda.so.1";
const MANAGEMENT = "libnvidia-ml.so.1";

const P = "pointer" as const;
const B = "buffer" as const;

/** Functions of the driver (cuda.h), with the C names of their parameters. */
const DRIVER_SYMBOLS = {
  cuInit: { parameters: ["u32" /* Flags */], result: "i32" },
  cuDriverGetVersion: { parameters: [B /* driverVersion */], result: "i32" },
  cuDeviceGetCount: { parameters: [B /* count */], result: "i32" },
  cuDeviceGet: { parameters: [B, /* device */ "i32" /* ordinal */], result: "i32" },
  cuDeviceGetName: { parameters: [B, /* name */ "i32", /* len */ "i32" /* dev */], result: "i32" },
  cuDeviceGetAttribute: {
    parameters: [B, /* pi */ "i32", /* attrib */ "i32" /* dev */],
    result: "i32",
  },
  cuDeviceTotalMem_v2: { parameters: [B, /* bytes */ "i32" /* dev */], result: "i32" },
  cuDevicePrimaryCtxRetain: { parameters: [B, /* pctx */ "i32" /* dev */], result: "i32" },
  cuCtxPushCurrent_v2: { parameters: [P /* ctx */], result: "i32" },
  cuCtxPopCurrent_v2: { parameters: [B /* pctx */], result: "i32" },
  cuMemGetInfo_v2: { parameters: [B, /* free */ B /* total */], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Functions of the management library (nvml.h), with the C names of their parameters. */
const MANAGEMENT_SYMBOLS = {
  nvmlInit_v2: { parameters: [], result: "i32" },
  nvmlShutdown: { parameters: [], result: "i32" },
  nvmlSystemGetDriverVersion: {
    parameters: [B, /* version */ "u32" /* length */],
    result: "i32",
  },
  nvmlDeviceGetCount_v2: { parameters: [B /* deviceCount */], result: "i32" },
  nvmlDeviceGetHandleByIndex_v2: {
    parameters: ["u32", /* index */ B /* device */],
    result: "i32",
  },
  nvmlDeviceGetMigMode: {
    parameters: [P, /* device */ B, /* currentMode */ B /* pendingMode */],
    result: "i32",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

type Driver = Deno.DynamicLibrary<typeof DRIVER_SYMBOLS>["symbols"];

/** `CUdevice_attribute` of a compute capability's two numbers. */
const CAPABILITY_MAJOR = 75;
const CAPABILITY_MINOR = 76;
const NO_DEVICE = 100;
const MAX_NAME = 100;
const CODE_OK = 0;

/** Memory of a GPU, in bytes. */
export interface DeviceMemory {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** The GPU that this process computes on: the first one that `CUDA_VISIBLE_DEVICES` shows. */
export interface CudaDevice {
  /** Such as `NVIDIA A100-SXM4-40GB`. */
  readonly name: string;
  /** Such as 8.0. */
  readonly computeCapability: number;
  readonly memoryBytes: number;
  /** Version of the driver, such as `550.54.15`. */
  readonly driverVersion: string | undefined;
  /** Reads the memory that is free now, of all processes; nothing when the driver no longer answers. */
  memory(): DeviceMemory | undefined;
}

/**
 * Opens the first visible GPU.
 *
 * @param isWanted False where a machine without a visible GPU is fine
 * @returns Nothing when there is no driver or no visible GPU, and none is wanted
 * @throws {UsageError} for everything that would keep TensorFlow from computing on it, with the cure
 */
export function openCudaDevice(isWanted: boolean): CudaDevice | undefined {
  const missing = loadForGood(DRIVER);
  if (missing !== undefined) {
    if (!isWanted) return undefined;
    throw new UsageError(
      `device is gpu, but there is no NVIDIA driver (${missing}): install it, in a container pass the GPUs to it ` +
        `(docker run --gpus all), ${ON_CPU}`,
    );
  }
  const driver = Deno.dlopen(DRIVER, DRIVER_SYMBOLS).symbols;
  const started = driver.cuInit(0);
  const situation = askManagement(started);
  if (started === NO_DEVICE && !isWanted && isOnPurpose(situation)) return undefined;
  const check = checker(situation);
  check(started, "cuInit");
  const cudaVersion = numberFrom((out) => driver.cuDriverGetVersion(out), check, "version");
  const count = numberFrom((out) => driver.cuDeviceGetCount(out), check, "cuDeviceGetCount");
  if (count === 0 && !isWanted && isOnPurpose(situation)) return undefined;
  if (count === 0) throw new UsageError(noGpu(situation));
  return openDevice(driver, cudaVersion, situation, check);
}

/** Tells whether no visible GPU is as it should be: there is none, or the user hides them. */
function isOnPurpose({ mask, gpuCount = 0 }: CudaSituation): boolean {
  return mask !== undefined || gpuCount === 0;
}

type Check = (code: number, call: string) => void;

function checker(situation: CudaSituation): Check {
  return (code, call) => {
    if (code !== CODE_OK) throw new UsageError(cudaProblem(code, call, situation));
  };
}

function openDevice(
  driver: Driver,
  cudaVersion: number,
  situation: CudaSituation,
  check: Check,
): CudaDevice {
  const device = numberFrom((out) => driver.cuDeviceGet(out, 0), check, "cuDeviceGet");
  const attribute = (kind: number) =>
    numberFrom((out) => driver.cuDeviceGetAttribute(out, kind, device), check, "attribute");
  const nameBytes = new Uint8Array(MAX_NAME);
  check(driver.cuDeviceGetName(nameBytes, MAX_NAME, device), "cuDeviceGetName");
  const name = textOf(nameBytes);
  const major = attribute(CAPABILITY_MAJOR);
  const computeCapability = Number(`${major}.${attribute(CAPABILITY_MINOR)}`);
  const { driverVersion } = situation;
  const problem = capabilityProblem({ name, computeCapability }, cudaVersion, driverVersion);
  if (problem !== undefined) throw new UsageError(problem);
  const total = new BigUint64Array(1);
  check(driver.cuDeviceTotalMem_v2(total, device), "cuDeviceTotalMem");
  // TensorFlow uses the same context. It is opened here for the errors of compute modes and memory.
  const context = new BigUint64Array(1);
  check(driver.cuDevicePrimaryCtxRetain(context, device), "cuDevicePrimaryCtxRetain");
  return {
    name,
    computeCapability,
    memoryBytes: Number(total[0]),
    driverVersion,
    memory: () => memoryOf(driver, Deno.UnsafePointer.create(context[0]!)),
  };
}

/** A context is current to one thread, and to this one only for the length of the call. */
function memoryOf(driver: Driver, context: Deno.PointerValue): DeviceMemory | undefined {
  if (driver.cuCtxPushCurrent_v2(context) !== CODE_OK) return undefined;
  try {
    const free = new BigUint64Array(1), total = new BigUint64Array(1);
    if (driver.cuMemGetInfo_v2(free, total) !== CODE_OK) return undefined;
    return { freeBytes: Number(free[0]), totalBytes: Number(total[0]) };
  } finally {
    driver.cuCtxPopCurrent_v2(new BigUint64Array(1));
  }
}

/**
 * Asks the management library for what CUDA doesn't say.
 *
 * @param cudaCode The result of the driver's start: where that failed, it is the better explanation
 * @throws {UsageError} when the library is missing or doesn't start
 */
function askManagement(cudaCode: number): CudaSituation {
  const mask = nativeVariable("CUDA_VISIBLE_DEVICES");
  const missing = loadForGood(MANAGEMENT);
  if (missing !== undefined) {
    if (cudaCode === CODE_OK) throw new UsageError(nvmlMissing(missing));
    return { mask };
  }
  const library = Deno.dlopen(MANAGEMENT, MANAGEMENT_SYMBOLS);
  const nvml = library.symbols;
  try {
    const code = nvml.nvmlInit_v2();
    if (code !== CODE_OK) {
      if (cudaCode === CODE_OK) throw new UsageError(nvmlProblem(code));
      return { mask };
    }
    const version = new Uint8Array(MAX_NAME);
    const count = new Uint32Array(1);
    const hasVersion = nvml.nvmlSystemGetDriverVersion(version, MAX_NAME) === CODE_OK;
    const hasCount = nvml.nvmlDeviceGetCount_v2(count) === CODE_OK;
    const situation = {
      mask,
      ...(hasVersion ? { driverVersion: textOf(version) } : {}),
      ...(hasCount ? { gpuCount: count[0]!, migCount: countMig(nvml, count[0]!) } : {}),
    };
    nvml.nvmlShutdown();
    return situation;
  } finally {
    library.close();
  }
}

/** Returns how many of the GPUs are in MIG mode; drivers before that mode have no function for it. */
function countMig(
  nvml: Deno.DynamicLibrary<typeof MANAGEMENT_SYMBOLS>["symbols"],
  gpuCount: number,
): number {
  const device = new BigUint64Array(1), current = new Uint32Array(1), pending = new Uint32Array(1);
  let found = 0;
  for (let index = 0; index < gpuCount; index++) {
    if (nvml.nvmlDeviceGetHandleByIndex_v2(index, device) !== CODE_OK) continue;
    const handle = Deno.UnsafePointer.create(device[0]!);
    const code = nvml.nvmlDeviceGetMigMode?.(handle, current, pending);
    if (code === CODE_OK && current[0] === 1) found++;
  }
  return found;
}

function numberFrom(call: (out: Int32Array) => number, check: Check, name: string): number {
  const out = new Int32Array(1);
  check(call(out), name);
  return out[0]!;
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const text = new TextDecoder().decode(bytes.subarray(0, end < 0 ? bytes.length : end));
  // deno-lint-ignore no-control-regex -- control characters are what is removed
  return text.replace(/[\x00-\x1f\x7f]/g, "");
}
