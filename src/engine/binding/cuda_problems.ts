/**
 * Sentences for what can be wrong with a machine's GPUs, each with its cure.
 *
 * @module
 */
import {
  type DriverRequirement,
  driverRequirement,
  OLDEST_CAPABILITY,
} from "../../base/cuda_support.ts";

/** The last resort of every sentence. */
export const ON_CPU = "or set device to cpu";

/** Facts about the machine at the time of a failure. */
export interface CudaSituation {
  /** Version of the driver, such as `550.54.15`, where NVML says it. */
  readonly driverVersion?: string | undefined;
  /** GPUs that NVML lists, whatever `CUDA_VISIBLE_DEVICES` says. */
  readonly gpuCount?: number | undefined;
  /** GPUs in MIG mode among them. */
  readonly migCount?: number | undefined;
  /** Value of `CUDA_VISIBLE_DEVICES`; undefined when it isn't set. */
  readonly mask?: string | undefined;
}

const REINSTALL = `reinstall NVIDIA's driver`;

/** Names of CUDA's results (cuda.h, `CUresult`), as far as sentences are about them. */
const NAMES: Readonly<Record<number, string>> = {
  2: "CUDA_ERROR_OUT_OF_MEMORY",
  34: "CUDA_ERROR_STUB_LIBRARY",
  46: "CUDA_ERROR_DEVICE_UNAVAILABLE",
  100: "CUDA_ERROR_NO_DEVICE",
  101: "CUDA_ERROR_INVALID_DEVICE",
  200: "CUDA_ERROR_INVALID_IMAGE",
  209: "CUDA_ERROR_NO_BINARY_FOR_GPU",
  214: "CUDA_ERROR_ECC_UNCORRECTABLE",
  218: "CUDA_ERROR_INVALID_PTX",
  221: "CUDA_ERROR_JIT_COMPILER_NOT_FOUND",
  222: "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
  304: "CUDA_ERROR_OPERATING_SYSTEM",
  700: "CUDA_ERROR_ILLEGAL_ADDRESS",
  719: "CUDA_ERROR_LAUNCH_FAILED",
  802: "CUDA_ERROR_SYSTEM_NOT_READY",
  803: "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
  804: "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
  999: "CUDA_ERROR_UNKNOWN",
};

/** Sentences by result, without those of "no device", which depend on the machine. */
const SENTENCES: Readonly<Record<number, string>> = {
  2: "The GPU has too little free memory to be opened: see who uses it with nvidia-smi, take another GPU with --devices",
  34:
    "libcuda.so.1 is the stub of a CUDA toolkit and not the driver's: remove the toolkit's folder stubs from " +
    "LD_LIBRARY_PATH",
  46:
    "The GPU is in use by another process, and its compute mode admits one process or none: end that process (see " +
    "nvidia-smi), let an administrator admit more with nvidia-smi -c DEFAULT, take another GPU with --devices",
  101:
    "CUDA has no GPU of the number that was asked for: look at deno task doctor, correct --devices or " +
    "CUDA_VISIBLE_DEVICES",
  200: "The driver can't load TensorFlow's kernels for this GPU: update the driver",
  209: "TensorFlow's kernels hold no code for this GPU: take another GPU with --devices",
  214:
    "The GPU has met an error in its memory that it can't correct: let an administrator reset it (nvidia-smi -r) or " +
    "reboot, take another GPU with --devices",
  218:
    "The driver can't compile TensorFlow's kernels (PTX 8.5) for this GPU: update the driver to 555.42.02 or newer, " +
    "for Blackwell to 570.26 or newer",
  221:
    "The driver's compiler, libnvidia-ptxjitcompiler.so.1, is missing: install it with the driver, or in a container " +
    "set NVIDIA_DRIVER_CAPABILITIES=compute,utility",
  222:
    "The driver is too old to compile TensorFlow's kernels (PTX 8.5) for this GPU: update it to 555.42.02 or newer, " +
    "for Blackwell to 570.26 or newer",
  304:
    "The operating system has refused what the driver asked for: check the rights of /dev/nvidia* and, in a container, " +
    "that the GPUs were passed to it",
  700:
    "A kernel has used memory that isn't its own: run again; if it stays so, it is a fault of TensorFlow or of the GPU",
  719:
    "A kernel has failed on the GPU, or the GPU has fallen off the bus: look at dmesg for NVRM: Xid, reboot, take " +
    "another GPU with --devices",
  802:
    "The GPUs are not ready: on machines with NVSwitch the Fabric Manager must run (systemctl start " +
    "nvidia-fabricmanager, of the driver's version)",
  803:
    "The kernel's driver and its libraries are of different versions, as after an update without a reboot: reboot",
  804:
    "A library of CUDA's forward compatibility (cuda-compat) is loaded, which this GPU doesn't support: remove its " +
    "folder from LD_LIBRARY_PATH, update the driver",
  999:
    "The driver has failed for a reason that it doesn't know, as after suspend or an update: reload it (modprobe -r " +
    "nvidia_uvm && modprobe nvidia_uvm) or reboot; in a container check that /dev/nvidia-uvm was passed to it",
};

/** Results in a process that runs, after which the GPU is of no more use to it. */
const ALIASES: readonly (readonly [RegExp, number])[] = [
  [/cudaErrorDevicesUnavailable|CUDA-capable device\S* \S+ busy or unavailable/i, 46],
  [/cudaErrorUnsupportedPtxVersion|unsupported toolchain/i, 222],
  [/cudaErrorInvalidPtx/i, 218],
  [/cudaErrorSystemNotReady|system not yet initialized/i, 802],
  [/cudaErrorSystemDriverMismatch|system has unsupported display driver/i, 803],
  [/no kernel image is available/i, 209],
  [/uncorrectable ECC error/i, 214],
  [/unspecified launch failure/i, 719],
  [/illegal memory access/i, 700],
];

/** Returns what a result of the driver means, in a sentence with its cure. */
export function cudaProblem(code: number, call: string, situation: CudaSituation = {}): string {
  const cause = `CUDA error ${code}${NAMES[code] ? `, ${NAMES[code]}` : ""}, of ${call}`;
  if (code === 100) return noGpu(situation);
  const sentence = SENTENCES[code];
  return sentence
    ? `${sentence}, ${ON_CPU} (${cause})`
    : `NVIDIA's driver has failed (${cause}): look at nvidia-smi and dmesg, ${REINSTALL}, ${ON_CPU}`;
}

/** Returns the sentence for a CUDA error that a text of TensorFlow names; nothing when it names none. */
export function cudaProblemIn(text: string): string | undefined {
  for (const [code, name] of Object.entries(NAMES)) {
    // Out of memory is no fault of the machine; device memory has a message of its own.
    if (Number(code) !== 2 && new RegExp(`\\b${name}\\b`).test(text)) {
      return SENTENCES[Number(code)] ?? noGpu({});
    }
  }
  const alias = ALIASES.find(([pattern]) => pattern.test(text));
  return alias && SENTENCES[alias[1]];
}

/** Explains that CUDA lists no GPU. */
export function noGpu({ mask, gpuCount, migCount }: CudaSituation): string {
  if (gpuCount !== undefined && gpuCount > 0) {
    if (mask !== undefined && !isUuid(mask) && !isWhole(mask, gpuCount)) {
      return `CUDA_VISIBLE_DEVICES is "${mask}" and leaves none of this machine's GPUs: correct or unset it, ${ON_CPU}`;
    }
    if (migCount === gpuCount) {
      return "The GPU is in MIG mode without instances: an administrator makes them with nvidia-smi mig -cgi … -C, or " +
        `ends the mode with nvidia-smi -mig 0, ${ON_CPU}`;
    }
    if (mask !== undefined && isUuid(mask)) {
      return `CUDA doesn't find ${mask}, the GPU that this process is to use: look at nvidia-smi; if it isn't listed ` +
        "there, it has fallen off the bus: look at dmesg for NVRM: Xid, reboot; otherwise correct or unset " +
        `CUDA_VISIBLE_DEVICES, ${ON_CPU}`;
    }
  }
  return gpuCount === 0
    ? `NVIDIA's driver finds no GPU: look at nvidia-smi and dmesg; in a container pass the GPUs to it, ${ON_CPU}`
    : `CUDA finds no GPU: look at nvidia-smi; in a container pass the GPUs to it, ${ON_CPU}`;
}

/** Tells whether a mask names GPUs by their UUIDs. */
function isUuid(mask: string): boolean {
  return /^(GPU|MIG)-/.test(mask);
}

/** Tells whether a mask of numbers keeps all GPUs. */
function isWhole(mask: string, gpuCount: number): boolean {
  const kept = new Set(mask.split(",").map((entry) => entry.trim()));
  return Array.from({ length: gpuCount }, (_, index) => kept.has(String(index))).every(Boolean);
}

/** Returns what keeps a GPU from running the CUDA build with a driver; nothing when it can. */
export function capabilityProblem(
  gpu: { readonly name: string; readonly computeCapability: number } | undefined,
  cudaVersion: number,
  driverVersion: string | undefined,
): string | undefined {
  const capability = gpu?.computeCapability;
  if (gpu && gpu.computeCapability < OLDEST_CAPABILITY) {
    return `${gpu.name} has compute capability ${
      gpu.computeCapability.toFixed(1)
    }, and TensorFlow's kernels begin at ` +
      `${OLDEST_CAPABILITY.toFixed(1)}: take another GPU with --devices, ${ON_CPU}`;
  }
  const { cuda, driver, why }: DriverRequirement = driverRequirement(capability);
  if (cudaVersion >= cuda) return undefined;
  const version = driverVersion ? `${driverVersion} (CUDA ${shownCuda(cudaVersion)})` : "of CUDA " +
    shownCuda(cudaVersion);
  return `The driver ${version} is too old for ${
    gpu?.name ?? "TensorFlow's CUDA build"
  }: ${why} needs ${driver} or ` +
    `newer (CUDA ${shownCuda(cuda)}); update the driver, ${ON_CPU}`;
}

/** Returns a release of CUDA for people: 12040 is 12.4. */
export function shownCuda(version: number): string {
  return `${Math.floor(version / 1000)}.${Math.floor(version % 1000 / 10)}`;
}

/** Results of NVML (nvml.h, `nvmlReturn_t`). */
const NVML_PROBLEMS: Readonly<Record<number, string>> = {
  4: "This user may not use the GPUs: check the rights of /dev/nvidia*, and in a container that the GPUs were passed to it",
  9: "NVIDIA's driver isn't loaded: load it (modprobe nvidia) or reboot; in a container pass the GPUs to it",
  18:
    "The kernel's driver and its libraries are of different versions, as after an update without a reboot: reboot",
};

/** Returns what a result of NVML's start means, in a sentence with its cure. */
export function nvmlProblem(code: number): string {
  const sentence = NVML_PROBLEMS[code] ??
    `NVIDIA's management library doesn't start: look at nvidia-smi, ${REINSTALL}`;
  return `${sentence}, ${ON_CPU} (NVML error ${code} of nvmlInit)`;
}

/** Explains that NVML can't be opened, without which TensorFlow lists no GPU and says nothing. */
export function nvmlMissing(reason: string): string {
  return "libnvidia-ml.so.1, NVIDIA's management library, can't be opened, and without it TensorFlow finds no GPU: in a " +
    `container set NVIDIA_DRIVER_CAPABILITIES=compute,utility, elsewhere ${REINSTALL}, ${ON_CPU} (${reason})`;
}
