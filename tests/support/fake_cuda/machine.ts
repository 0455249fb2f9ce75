/**
 * A machine with fake GPUs: processes that get its environment find a driver, TensorFlow's CUDA build and an
 * `nvidia-smi` that agree with each other.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import {
  CUDA_COMPILER_FOLDER,
  CUDA_LIBRARIES,
  NCCL_LIBRARY,
} from "../../../src/base/cuda_libraries.ts";
import { LIBTENSORFLOW_FILES, libtensorflowFolder } from "../../../src/base/libtensorflow_path.ts";
import { cacheFolder } from "../../../src/base/paths.ts";
import { CUDA_WHEELS } from "../../../src/provision/cuda_wheels.ts";
import type { Gpu } from "../../../src/gpus/gpu.ts";
import { someGpus } from "../../gpus/some_gpus.ts";
import { type Fault, writeFakeNvidiaSmi } from "../fake_nvidia_smi.ts";
import { type CudaRecord, readRecords } from "./record.ts";
import { DRIVER_LIBRARIES, fakeCudaFolder, fakeLibraries, tensorflowFolder } from "./build.ts";

/** Equipment of the machine, and its faults. */
export interface FakeMachineOptions {
  /** Number of A100s with 2 GiB, or the GPUs themselves; default 1. */
  readonly gpus?: number | readonly Gpu[];
  /** Memory of each GPU for CUDA, in MiB; default: what `nvidia-smi` prints. */
  readonly memoryMebibytes?: number;
  /** Version that `cuDriverGetVersion` returns, such as 11040 for a driver of CUDA 11.4; default 12080. */
  readonly cudaVersion?: number;
  /** Error that `cuInit` returns: 100, 802, 803, 999. */
  readonly initError?: number;
  /**
   * A GPU that falls off the bus after as many launches in a process; every call returns `error` then (default 46). With
   * error 2 its memory has run out instead: only allocations fail. What processes find that start later is `then`: the
   * same again (default), a GPU that is well, or no such GPU.
   */
  readonly lost?: {
    readonly gpu: number;
    readonly afterLaunches: number;
    readonly error?: number;
    readonly then?: "same" | "well" | "gone";
  };
  /** Allocations of device memory that succeed before every other fails. */
  readonly allocErrorAfter?: number;
  /** Time that the loading of a module takes, as when it is compiled; default 0. */
  readonly moduleLoadMillis?: number;
  /** Longest delay of an operation of a stream; default 200; 0 for none, and no poison. */
  readonly maxDelayMicros?: number;
  /** Seed of the delays. */
  readonly seed?: number;
  /** Results of kernels are zeros when they are read back, so that losses are finite; default false: what was there. */
  readonly zeroResults?: boolean;
  /**
   * Fault of NCCL, and the number of a communicator's operations before it (default 0): other cards' values arrive as
   * zeros, all or from 1 MiB on; a rank waits for ever; another rank is lost; joining fails, or never ends. With `once`
   * the first communicator alone has it.
   */
  readonly nccl?: {
    readonly fault: NcclFault;
    readonly afterOperations?: number;
    readonly once?: boolean;
  };
  /** Libraries that are missing: names of files. */
  readonly without?: readonly string[];
  /** Fault of `nvidia-smi`. */
  readonly smiFault?: Fault;
}

/** Fault of the fake NCCL. */
export type NcclFault =
  | "zeros"
  | "largeZeros"
  | "hang"
  | "remoteError"
  | "initError"
  | "initHang"
  | "noNetwork";

/** A machine that is set up. */
export interface FakeMachine extends AsyncDisposable {
  readonly gpus: readonly Gpu[];
  /** For processes on it. */
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  /** Path of TensorFlow's library in the machine's cache. */
  readonly libraryPath: string;
  /** Folder of NVIDIA's wheels beside it. */
  readonly nvidiaFolder: string;
  /** The driver, for tests that call it by FFI: the process must have the machine's environment. */
  readonly driverPath: string;
  /** Returns what the processes on it have recorded, by process id. */
  records(): Promise<CudaRecord[]>;
}

/** No test takes as long. */
const ABANDONED_MS = 6 * 3600 * 1000;

/** Sets up a machine; it is gone when it is disposed of. */
export async function fakeGpuMachine(options: FakeMachineOptions = {}): Promise<FakeMachine> {
  const { gpus: wanted = 1, memoryMebibytes } = options;
  const gpus = typeof wanted === "number"
    ? someGpus(wanted).map((gpu) => ({
      ...gpu,
      driverVersion: "570.86.10",
      memoryTotalBytes: 2 ** 31,
    }))
    : wanted;
  const [libraries, tensorflow] = await Promise.all([fakeLibraries(), tensorflowFolder()]);
  await removeAbandoned();
  const folder = await Deno.makeTempDir({ dir: fakeCudaFolder(), prefix: "machine-" });
  const at = (...path: string[]) => join(folder, ...path);
  for (const name of ["cache", "driver", "bin", "records"]) await Deno.mkdir(at(name));
  await linkCache(at("cache"));
  const build = libtensorflowFolder("cuda-12.5").slice(cacheFolder().length + 1);
  await linkBuild(at("cache", build), libraries, tensorflow, options.without ?? []);
  for (const name of Object.values(DRIVER_LIBRARIES)) {
    if (!options.without?.includes(name)) {
      await Deno.link(join(libraries, name), at("driver", name));
    }
  }
  await writeFakeNvidiaSmi(at("bin"), gpus, options.smiFault ? { fault: options.smiFault } : {});
  await Deno.writeTextFile(
    at("machine"),
    description(gpus, memoryMebibytes, at("records"), options),
  );
  return {
    gpus,
    folder,
    env: {
      FAKE_CUDA_MACHINE: at("machine"),
      LD_LIBRARY_PATH: at("driver"),
      LOCKSTEP_CACHE: at("cache"),
      LOCKSTEP_RUNTIME: at("runtime"), // other machines have GPUs of the same names
      PATH: `${at("bin")}:${Deno.env.get("PATH") ?? ""}`,
    },
    libraryPath: at("cache", build, "tensorflow", LIBTENSORFLOW_FILES.main),
    nvidiaFolder: at("cache", build, "nvidia"),
    driverPath: at("driver", DRIVER_LIBRARIES.driver),
    records: () => readRecords(at("records")),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

/** Removes the machines of tests that were killed: their links would keep files of the cache alive. */
async function removeAbandoned(): Promise<void> {
  for await (const { name } of Deno.readDir(fakeCudaFolder())) {
    if (!name.startsWith("machine-")) continue;
    const path = join(fakeCudaFolder(), name);
    const made = await Deno.stat(path).then(({ mtime }) => mtime?.getTime(), () => undefined);
    if (made === undefined || Date.now() - made < ABANDONED_MS) continue;
    await Deno.remove(path, { recursive: true }).catch(() => {}); // another test has done so
  }
}

/** An assembler that always fails: TensorFlow then gives PTX to the driver; and a module of LLVM without functions. */
const COMPILER_FILES: Readonly<Record<string, string>> = {
  "ptxas": "#!/bin/sh\nexit 1\n",
  "libdevice.10.bc": "; nothing\n",
};

/** Everything of this machine's cache but its builds of TensorFlow. */
async function linkCache(cache: string): Promise<void> {
  for await (const { name } of Deno.readDir(cacheFolder())) {
    if (/^libtensorflow|^fake-cuda|\.lock$|^\./.test(name)) continue;
    await Deno.symlink(join(cacheFolder(), name), join(cache, name));
  }
}

/** A folder as pip lays it out. Hard links: the loader looks for a library's neighbours where the file really is. */
async function linkBuild(
  build: string,
  libraries: string,
  tensorflow: string,
  without: readonly string[],
): Promise<void> {
  await Deno.mkdir(join(build, "tensorflow"), { recursive: true });
  for (const file of Object.values(LIBTENSORFLOW_FILES)) {
    await Deno.link(join(tensorflow, file), join(build, "tensorflow", file));
  }
  const compiler = CUDA_WHEELS["cuda-12.5"].find(({ folder }) =>
    folder.endsWith(CUDA_COMPILER_FOLDER)
  )!;
  for (const file of compiler.files) {
    const path = join(build, compiler.folder, file);
    await Deno.mkdir(dirname(path), { recursive: true });
    await Deno.writeTextFile(path, COMPILER_FILES[basename(path)]!, { mode: 0o755 });
  }
  for (const { folder, name } of [...CUDA_LIBRARIES, NCCL_LIBRARY]) {
    const path = join(build, "nvidia", folder, "lib");
    await Deno.mkdir(path, { recursive: true });
    if (!without.includes(name)) await Deno.link(join(libraries, name), join(path, name));
  }
}

function ncclLine(
  { fault, afterOperations = 0, once = false }: NonNullable<FakeMachineOptions["nccl"]>,
): string {
  return `${fault} ${afterOperations} ${once ? 1 : 0}`;
}

/** The file that the driver reads: see driver/machine.c. */
function description(
  gpus: readonly Gpu[],
  memoryMebibytes: number | undefined,
  records: string,
  options: FakeMachineOptions,
): string {
  const { cudaVersion = 12080, lost } = options;
  const lines = [`driverVersion ${cudaVersion} ${gpus[0]?.driverVersion ?? "570.86.10"}`];
  const entryOf: number[] = [];
  let entries = 0;
  for (const gpu of gpus) {
    entryOf.push(entries++);
    const memory = memoryMebibytes ?? Math.round((gpu.memoryTotalBytes ?? 2 ** 31) / 2 ** 20);
    const common = `${(gpu.computeCapability ?? 8).toFixed(1)} ${gpu.pciBusId}`;
    lines.push(`gpu ${gpu.uuid} ${memory} ${common} ${gpu.isMig ? 1 : 0} ${gpu.name}`);
    for (const { uuid, profile } of gpu.migInstances) {
      lines.push(`mig ${uuid} ${Math.floor(memory / 8)} ${common} 0 ${gpu.name} MIG ${profile}`);
      entries++;
    }
  }
  if (lost) {
    const { gpu, afterLaunches, error = 46, then = "same" } = lost;
    lines.push(`lost ${entryOf[gpu]} ${afterLaunches} ${error} ${then}`);
  }
  const values: Record<string, string | number | undefined> = {
    initError: options.initError,
    allocErrorAfter: options.allocErrorAfter,
    moduleLoadMillis: options.moduleLoadMillis,
    maxDelayMicros: options.maxDelayMicros ?? 200,
    seed: options.seed,
    zeroResults: options.zeroResults ? 1 : undefined,
    nccl: options.nccl && ncclLine(options.nccl),
    record: records,
  };
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined) lines.push(`${key} ${value}`);
  }
  return lines.join("\n") + "\n";
}
