/**
 * The content of a pack, laid out in a folder: `bin/deno`, `deno_dir/`, `cache/` (as `LOCKSTEP_CACHE`) and `lockstep/`.
 *
 * Libraries that don't change and packages are symbolic links there; the sources are copies, since somebody may work on
 * them while the pack is compressed.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { libtensorflowFolder } from "../../src/base/libtensorflow_path.ts";
import { cacheFolder, exists } from "../../src/base/paths.ts";
import { NATS_SERVER_VERSION } from "../../src/base/versions.ts";
import { CUDA_WHEELS, type CudaBuild } from "../../src/provision/cuda_wheels.ts";
import { outputOf } from "../children.ts";
import { filesBelow, PROJECT_ROOT, readText } from "../files.ts";
import { type KernelBytes, zeroOtherKernels } from "./machine_code.ts";

/** Settings of a pack's content. */
export interface StageOptions {
  readonly build: CudaBuild;
  /** Compute capabilities times 10 of the GPUs that the pack is for. */
  readonly architectures: readonly number[];
  readonly onFile: (file: string, bytes: KernelBytes) => void;
}

/** Libraries that TensorFlow opens and whose kernels no network of Lockstep calls. */
const WITHOUT_KERNELS = /^nvidia\/(cufft|cusparse|cusolver)\//;

/** Files and folders of the product. */
const SOURCES = ["configs", "docs", "scripts", "src", "workers"];
const ROOT_FILES = /^(deno\.json|deno\.lock|mod\.ts|LICENSE|README\.md|CHANGELOG\.md)$/;

/** Programs whose packages the pack carries. */
const ENTRIES = ["src/cli.ts", "scripts/gpu_smoke/main.ts", "scripts/gpu_smoke/run_check.ts"];

/** Lays out the content of a pack. */
export async function stagePack(stage: string, options: StageOptions): Promise<void> {
  await Deno.mkdir(join(stage, "bin"), { recursive: true });
  await link(Deno.execPath(), join(stage, "bin/deno"));
  await stageSources(join(stage, "lockstep"));
  await stagePackages(join(stage, "deno_dir"));
  await stageCache(join(stage, "cache"), options);
}

async function stageSources(target: string): Promise<void> {
  const files = await filesBelow(PROJECT_ROOT, SOURCES, /./);
  for (const file of files) {
    if (file.includes("/") || ROOT_FILES.test(file)) {
      await Deno.mkdir(dirname(join(target, file)), { recursive: true });
      await Deno.copyFile(join(PROJECT_ROOT, file), join(target, file));
    }
  }
}

/** A package as `deno info --json` describes it. */
interface NpmPackage {
  readonly localPath: string;
}

/** Copies the packages that the programs import out of Deno's own cache. */
async function stagePackages(target: string): Promise<void> {
  const workers = await filesBelow(PROJECT_ROOT, ["workers"], /\.ts$/);
  const entries = [...ENTRIES, ...workers.filter((file) => file.startsWith("workers/"))];
  const info = async (...args: string[]) => {
    const { success, stdout, stderr } = await outputOf(Deno.execPath(), {
      args: ["info", "--json", ...args],
      cwd: PROJECT_ROOT,
    });
    if (!success) throw new Error(`deno info failed: ${readText(stderr)}`);
    return JSON.parse(readText(stdout));
  };
  const { denoDir } = await info();
  const folders = new Set<string>();
  for (const entry of entries) {
    const { npmPackages } = await info(entry) as { npmPackages: Record<string, NpmPackage> };
    for (const { localPath } of Object.values(npmPackages)) folders.add(localPath);
  }
  for (const folder of folders) {
    if (!await exists(folder)) continue; // a package for another system
    await link(folder, join(target, folder.slice(denoDir.length + 1)));
    const registry = join(dirname(folder), "registry.json");
    const registryTarget = join(target, registry.slice(denoDir.length + 1));
    if (await exists(registry) && !await exists(registryTarget)) {
      await link(registry, registryTarget);
    }
  }
}

/** Lays out the cache: TensorFlow with CUDA's libraries, nats-server, and the photos of the default recipe. */
async function stageCache(
  target: string,
  { build, architectures, onFile }: StageOptions,
): Promise<void> {
  const root = libtensorflowFolder(build);
  const cache = cacheFolder();
  for (const { folder, files } of CUDA_WHEELS[build]) {
    for (const name of files) {
      const file = `${folder}/${name}`;
      const to = join(target, basename(root), file);
      if (!/\.so(\.\d+)*$/.test(name)) {
        await link(join(root, file), to);
        continue;
      }
      await Deno.mkdir(dirname(to), { recursive: true });
      await Deno.copyFile(join(root, file), to);
      onFile(file, await zeroOtherKernels(to, WITHOUT_KERNELS.test(file) ? [] : architectures));
    }
  }
  for (const name of [`nats-server-${NATS_SERVER_VERSION}`, "datasets/food-groups"]) {
    if (await exists(join(cache, name))) await link(join(cache, name), join(target, name));
  }
}

async function link(from: string, to: string): Promise<void> {
  await Deno.mkdir(dirname(to), { recursive: true });
  await Deno.symlink(await Deno.realPath(from), to);
}
