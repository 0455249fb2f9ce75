/**
 * Opens CUDA's libraries before TensorFlow looks for them: its own search misses some, and then lists no GPU without
 * saying so.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { task } from "../../base/invocation.ts";
import { UsageError } from "../../base/errors.ts";
import { CUDA_COMPILER_FOLDER, CUDA_LIBRARIES } from "../../base/cuda_libraries.ts";
import { loadForGood } from "./dynamic_loader.ts";
import { nativeVariable, setNativeVariables } from "./native_environment.ts";
import { ON_CPU } from "./cuda_problems.ts";

/**
 * Returns the folder of NVIDIA's wheels beside a libtensorflow: next to its folder, as pip unpacks wheels.
 *
 * @param library The file itself, not a link to it
 */
export function nvidiaFolder(library: string): string | undefined {
  const folder = join(dirname(library), "..", "nvidia");
  try {
    return Deno.statSync(folder).isDirectory ? folder : undefined;
  } catch {
    return undefined; // a build without NVIDIA's wheels, or a folder that can't be read
  }
}

/**
 * Opens all CUDA libraries, each after those that it needs: by full path where NVIDIA's wheels have it, else as the
 * system finds it by its name.
 *
 * @param nvidia Folder of NVIDIA's wheels, where there is one
 * @throws {UsageError} naming the libraries that don't load, and why
 */
export function openCudaLibraries(nvidia: string | undefined): void {
  const problems: string[] = [];
  for (const { folder, name } of CUDA_LIBRARIES) {
    const path = nvidia && join(nvidia, folder, "lib", name);
    const hasFile = path !== undefined && isFile(path);
    const problem = loadForGood(hasFile ? path : name);
    if (problem === undefined) continue;
    problems.push(hasFile ? `${path}: ${problem}` : `${path ?? name}: there is no such file`);
  }
  if (problems.length === 0) return;
  const [first, ...others] = problems;
  const more = others.length === 0 ? "" : `, and ${others.length} more of CUDA's libraries`;
  throw new UsageError(
    `A library that TensorFlow needs for the GPU doesn't load (${first}${more}): ` +
      (nvidia
        ? `remove the folder of its wheel and run "${task("setup --device gpu")}"`
        : "name its folder with LD_LIBRARY_PATH") +
      `, ${ON_CPU}`,
  );
}

const DATA_FOLDER = "--xla_gpu_cuda_data_dir";

/** Tells XLA where its assembler and device functions are; a folder that the user names takes precedence. */
export function nameXlaFolder(nvidia: string): void {
  const folder = join(nvidia, CUDA_COMPILER_FOLDER);
  const given = nativeVariable("XLA_FLAGS") ?? "";
  // XLA takes a name without "--" for a file of flags.
  const isList = given.trim() === "" || given.trim().startsWith("-");
  if (given.includes(DATA_FOLDER) || !isList || !isFile(join(folder, "bin", "ptxas"))) return;
  const flag = `${DATA_FOLDER}=${/\s/.test(folder) ? `"${folder}"` : folder}`;
  setNativeVariables({ XLA_FLAGS: `${given} ${flag}`.trim() }, true);
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false; // missing, or in a folder that can't be read: opening it says which
  }
}
