/**
 * Builds the fakes of the NVIDIA driver and of CUDA's libraries, once for each state of their sources, and fetches the
 * CUDA build of TensorFlow that runs over them.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { CUDA_LIBRARIES, NCCL_LIBRARY } from "../../../src/base/cuda_libraries.ts";
import { LIBTENSORFLOW_FILES, libtensorflowFolder } from "../../../src/base/libtensorflow_path.ts";
import { cacheFolder, exists } from "../../../src/base/paths.ts";
import { LIBTENSORFLOW_VERSION } from "../../../src/base/versions.ts";
import { ensureCached } from "../../../src/provision/cached.ts";
import { CUDA_WHEELS } from "../../../src/provision/cuda_wheels.ts";
import { fetchEntries } from "../../../src/provision/wheel.ts";
import { namesOfCudaFunctions } from "./tensorflow_symbols.ts";

/** A library of the fake. */
interface FakeLibrary {
  readonly name: string;
  readonly sources: readonly string[];
  /** The functions of TensorFlow's list that it must have. */
  readonly functions: RegExp;
}

const DRIVER = ["machine", "devices", "memory", "streams", "transfers", "kernels", "record"]
  .map((name) => `driver/${name}.c`);
const CALLS = "libraries/driver_calls.c";
const HANDLES = "libraries/handles.c";

/** The driver's libraries, which the system's loader finds by name. */
export const DRIVER_LIBRARIES = {
  driver: "libcuda.so.1",
  management: "libnvidia-ml.so.1",
} as const;

const LIBRARIES: readonly FakeLibrary[] = [
  { name: DRIVER_LIBRARIES.driver, sources: DRIVER, functions: /^cu[A-Z]/ },
  {
    name: DRIVER_LIBRARIES.management,
    sources: ["libraries/nvml.c", "driver/machine.c"],
    functions: /^nvml/,
  },
  ...[...CUDA_LIBRARIES, NCCL_LIBRARY].map(({ name }) => ({ name, ...sourcesOf(name) })),
];

function sourcesOf(name: string): { sources: string[]; functions: RegExp } {
  const family = name.slice("lib".length, name.indexOf("."));
  switch (family) {
    case "cudart":
      return { sources: ["libraries/cudart.c", CALLS], functions: /^(__cuda|cuda)[A-Z]/ };
    case "cublas":
      return { sources: ["libraries/cublas.c", HANDLES, CALLS], functions: /^cublas[A-KM-Z]/ };
    case "cudnn":
      return { sources: ["libraries/cudnn.c", HANDLES, CALLS], functions: /^cudnn/ };
    case "nccl":
      return { sources: ["libraries/nccl.c", "driver/machine.c", CALLS], functions: /^nccl/ };
    case "cublasLt":
      return { sources: ["libraries/cublasLt.c", CALLS], functions: /^cublasLt/ };
    default:
      return { sources: ["libraries/plain.c", CALLS], functions: new RegExp(`^${family}[A-Z]`) };
  }
}

const HERE = import.meta.dirname!;
const silent = () => {};

/** The folder of all that is kept between runs of the tests. */
export function fakeCudaFolder(): string {
  return join(cacheFolder(), "fake-cuda");
}

/**
 * Returns the folder with TensorFlow's own libraries, of its CUDA build: fetched unless they are there; NVIDIA's are
 * not needed.
 */
export async function tensorflowFolder(): Promise<string> {
  const installed = join(libtensorflowFolder("cuda-12.5"), "tensorflow");
  if (await exists(installed)) return installed;
  const wheel = CUDA_WHEELS["cuda-12.5"].find(({ name }) => name === "tensorflow")!;
  const what = `${wheel.name} ${wheel.version}, for tests`;
  return await ensureCached({
    what,
    path: join(fakeCudaFolder(), `tensorflow-${LIBTENSORFLOW_VERSION}`),
    make: async (target, scratch) => {
      await Deno.mkdir(target);
      const entries = wheel.files.map((file): [string, string] => [
        `${wheel.folder}/${file}`,
        join(target, file),
      ]);
      const about = { what, manually: "leave these tests out", progress: silent };
      await fetchEntries(wheel, scratch, new Map(entries), about);
    },
  }, silent);
}

/** Returns the folder with the fakes, all side by side; compiles them at the first call after a change. */
export async function fakeLibraries(): Promise<string> {
  const tensorflow = await tensorflowFolder();
  return await ensureCached({
    what: "the fake CUDA libraries",
    path: join(fakeCudaFolder(), await sourceHash()),
    make: async (target, scratch) => {
      await Deno.mkdir(target);
      const names = new Set<string>();
      for (const file of Object.values(LIBTENSORFLOW_FILES)) {
        for (const name of await namesOfCudaFunctions(join(tensorflow, file))) names.add(name);
      }
      await Promise.all(LIBRARIES.map((library) => compile(library, names, target, scratch)));
    },
  }, silent);
}

async function sourceHash(): Promise<string> {
  const hash = createHash("sha256").update(LIBTENSORFLOW_VERSION);
  const files = ["build.ts", "tensorflow_symbols.ts"];
  for (const folder of ["driver", "libraries"]) {
    for await (const { name } of Deno.readDir(join(HERE, folder))) files.push(`${folder}/${name}`);
  }
  for (const file of files.sort()) hash.update(file).update(await Deno.readFile(join(HERE, file)));
  return hash.digest("hex").slice(0, 16);
}

async function compile(
  { name, sources, functions }: FakeLibrary,
  names: ReadonlySet<string>,
  target: string,
  scratch: string,
): Promise<void> {
  const paths = sources.map((source) => join(HERE, source));
  const texts = await Promise.all(paths.map((path) => Deno.readTextFile(path)));
  const stubs = join(scratch, `${name}.c`);
  await Deno.writeTextFile(
    stubs,
    stubsFor(texts.join("\n"), [...names].filter((n) => functions.test(n))),
  );
  const { success, stderr } = await new Deno.Command(compiler(), {
    args: [
      ..."-std=gnu11 -O1 -Wall -Wextra -Werror=incompatible-pointer-types -shared -fPIC -fvisibility=hidden -pthread"
        .split(" "),
      `-Wl,-soname,${name}`,
      "-o",
      join(target, name),
      ...paths,
      stubs,
      "-ldl",
    ],
    stdout: "null",
    stderr: "piped",
  }).output();
  const text = new TextDecoder().decode(stderr);
  if (!success) throw new Error(`${name} doesn't compile:\n${text}`);
}

/** A function for each name that the sources lack: it counts its calls, and returns 0. */
function stubsFor(sources: string, names: readonly string[]): string {
  const own = new Set(
    sources.match(/\b(?:__cuda|cu|nvml)[A-Z]\w*(?=\()|\b(?:__)?(?:cuda|cublas|cudnn)\w+(?=\()/g),
  );
  // The names of copies and of algorithms are arguments of macros.
  for (const [, name] of sources.matchAll(/^COPY\((\w+)/gm)) {
    own.add(`${name}_v2`).add(`${name}Async_v2`);
  }
  for (const [, direction] of sources.matchAll(/^ALGORITHM_OF\((\w+)\)/gm)) {
    own.add(`cudnnGetConvolution${direction}Algorithm_v7`);
    own.add(`cudnnGetConvolution${direction}WorkspaceSize`);
  }
  const lines = names.filter((name) => !own.has(name)).map((name) => {
    const stub = /^cudnnCreate\w*Descriptor$/.test(name) ? "fake_create_stub" : "fake_stub";
    return `${EXPORTED} long ${name}(void *first) { return ${stub}("${name}", first); }`;
  });
  return [
    "long fake_stub(const char *name, void *first);",
    "long fake_create_stub(const char *name, void *first);",
    ...lines,
    "",
  ].join("\n");
}

const EXPORTED = '__attribute__((visibility("default")))';

function compiler(): string {
  return Deno.env.get("CC") || "gcc";
}

/**
 * Returns why the fake can't run here, in a phrase; nothing where it can.
 *
 * @throws {Error} when it can't and `LOCKSTEP_REQUIRE_FAKE_CUDA` is 1
 */
export function fakeCudaProblem(): string | undefined {
  const problem = problemHere();
  if (problem !== undefined && Deno.env.get("LOCKSTEP_REQUIRE_FAKE_CUDA") === "1") {
    throw new Error(`The fake GPUs are required (LOCKSTEP_REQUIRE_FAKE_CUDA), but ${problem}`);
  }
  return problem;
}

function problemHere(): string | undefined {
  const platform = `${Deno.build.os}-${Deno.build.arch}`;
  if (platform !== "linux-x86_64") return `TensorFlow's wheels for ${platform} have no CUDA`;
  try {
    const { success } = new Deno.Command(compiler(), {
      args: ["--version"],
      stdout: "null",
      stderr: "null",
    }).outputSync();
    return success ? undefined : `${compiler()} doesn't run`;
  } catch {
    return `there is no ${compiler()}`;
  }
}
