/**
 * Packs everything that `scripts/gpu_smoke.sh` and training need for a GPU machine without a network.
 *
 * Usage: scripts/gpu_pack.sh [OPTIONS]; `--help` lists them.
 *
 * @module
 */
import { resolve } from "node:path";
import { parseArgs } from "@std/cli/parse-args";
import { EXIT_FAILED, EXIT_USAGE, messageOf, UsageError } from "../../src/base/errors.ts";
import { formatBytes } from "../../src/base/format.ts";
import { LIBTENSORFLOW_VARIABLE } from "../../src/base/libtensorflow_path.ts";
import { removeAtStop } from "../../src/base/signals.ts";
import { LIBTENSORFLOW_VERSION, LOCKSTEP_VERSION } from "../../src/base/versions.ts";
import { buildFor } from "../../src/gpus/driver.ts";
import type { CudaBuild } from "../../src/provision/cuda_wheels.ts";
import { ensureDataset } from "../../src/provision/datasets.ts";
import { ensureLibtensorflow } from "../../src/provision/libtensorflow.ts";
import { ensureNatsServer } from "../../src/provision/nats_server.ts";
import { exitCode } from "../children.ts";
import {
  bestCompressor,
  type Compressor,
  COMPRESSORS,
  MANIFEST,
  packFolder,
  UNPACK_SCRIPT,
} from "./pieces.ts";
import { stagePack } from "./stage.ts";

const HELP =
  `Packs Lockstep, Deno, its packages and TensorFlow's CUDA build for a GPU machine without a network.

Usage: scripts/gpu_pack.sh [OPTIONS]

  --sm LIST          compute capabilities of the GPUs without the dot, such as 80,90 (default: 90)
  --out DIR          a new or empty folder for the pieces (default: gpu-pack)
  --piece-size MIB   largest piece (default: 60)
  --compressor NAME  ${Object.keys(COMPRESSORS).join(", ")} (default: the first that is here)
  --help             show this text

Copy the pieces, ${MANIFEST} and ${UNPACK_SCRIPT} to the machine, and run: sh ${UNPACK_SCRIPT} [FOLDER]`;

const STRINGS = ["sm", "out", "piece-size", "compressor"] as const;
const MEBIBYTE = 2 ** 20;

interface Options {
  readonly architectures: readonly number[];
  readonly out: string;
  readonly pieceBytes: number;
  readonly compressor: Compressor | undefined;
}

/**
 * Reads the options.
 *
 * @throws {UsageError} for an unknown option or value
 */
export function readPackOptions(args: readonly string[]): Options | "help" {
  const flags = parseArgs([...args], {
    string: [...STRINGS],
    boolean: ["help"],
    unknown: (arg: string) => {
      throw new UsageError(
        `Unknown argument ${arg}: known are ${STRINGS.map((name) => `--${name}`).join(", ")}`,
      );
    },
  });
  if (flags.help) return "help";
  const text = (name: typeof STRINGS[number]) => flags[name] as string | undefined;
  const architectures = (text("sm") ?? "90").split(",").map((part) => Number(part.trim()));
  if (!architectures.every((number) => Number.isInteger(number) && number >= 60 && number < 200)) {
    throw new UsageError(
      `--sm is "${text("sm")}": give compute capabilities without the dot, such as 80,90`,
    );
  }
  const size = Number(text("piece-size") ?? 60);
  if (!(size > 0)) {
    throw new UsageError(`--piece-size is "${text("piece-size")}": give a number of MiB above 0`);
  }
  const compressor = text("compressor");
  if (compressor !== undefined && !Object.hasOwn(COMPRESSORS, compressor)) {
    throw new UsageError(
      `--compressor is "${compressor}": give one of ${Object.keys(COMPRESSORS).join(", ")}`,
    );
  }
  return {
    architectures,
    out: resolve(text("out") ?? "gpu-pack"),
    pieceBytes: Math.ceil(size * MEBIBYTE),
    compressor: compressor as Compressor | undefined,
  };
}

async function main(args: readonly string[]): Promise<void> {
  const options = readPackOptions(args);
  if (options === "help") return console.log(HELP);
  const { architectures, out, pieceBytes } = options;
  if (`${Deno.build.os}-${Deno.build.arch}` !== "linux-x86_64") {
    throw new UsageError("Packs are made on Linux x86-64, since they carry its Deno and libraries");
  }
  await Deno.mkdir(out, { recursive: true });
  if ((await Array.fromAsync(Deno.readDir(out))).length > 0) {
    throw new UsageError(`${out} isn't empty: remove it, or name another folder with --out`);
  }
  const compressor = options.compressor ?? await bestCompressor();
  const build = buildFor(
    architectures.map((architecture) => ({ computeCapability: architecture / 10 })),
  );
  await fetchParts(build);
  const stage = await Deno.makeTempDir({ dir: out, prefix: ".stage-" });
  using _stage = removeAtStop(stage);
  try {
    const start = performance.now();
    await stagePack(stage, {
      build,
      architectures,
      onFile: (file, { kept, zeroed }) => {
        if (kept + zeroed === 0) return;
        console.log(`${file}: kernels of ${formatBytes(kept)} kept, ${formatBytes(zeroed)} zeroed`);
      },
    });
    const pieces = await packFolder(stage, {
      out,
      pieceBytes,
      compressor,
      facts: {
        lockstep: LOCKSTEP_VERSION,
        tensorflow: `${LIBTENSORFLOW_VERSION} ${build}`,
        sm: architectures.join(","),
        deno: Deno.version.deno,
      },
      onPiece: ({ name, bytes, sha256 }) =>
        console.log(`${name}  ${formatBytes(bytes)}  ${sha256}`),
    });
    const sum = pieces.reduce((all, { bytes }) => all + bytes, 0);
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    console.log(
      `${pieces.length} pieces, ${
        formatBytes(sum)
      }, in ${seconds} s with ${compressor}: copy them with ${MANIFEST} and ` +
        `${UNPACK_SCRIPT} from ${out}, and run there: sh ${UNPACK_SCRIPT}`,
    );
  } finally {
    await Deno.remove(stage, { recursive: true });
  }
}

/** Makes sure that everything is in the cache. */
async function fetchParts(build: CudaBuild): Promise<void> {
  if (Deno.env.get(LIBTENSORFLOW_VARIABLE)) {
    throw new UsageError(
      `${LIBTENSORFLOW_VARIABLE} is set, but a pack carries Lockstep's own build of TensorFlow: unset it`,
    );
  }
  const named = new Set<string>();
  const progress: Parameters<typeof ensureLibtensorflow>[0] = ({ what, note }) => {
    if (note === undefined && named.has(what)) return;
    named.add(what);
    console.log(`Set-up: ${what}${note === undefined ? "" : `: ${note}`}`);
  };
  await ensureLibtensorflow(progress, build);
  await ensureNatsServer(progress);
  await ensureDataset("food-groups", progress);
}

if (import.meta.main) {
  try {
    await main(Deno.args);
    Deno.exit(exitCode(0));
  } catch (error) {
    console.error(`error: ${messageOf(error)}`);
    Deno.exit(exitCode(error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED));
  }
}
