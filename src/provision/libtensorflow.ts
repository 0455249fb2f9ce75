/**
 * libtensorflow, out of TensorFlow's wheel.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { UsageError } from "../base/errors.ts";
import {
  LIBTENSORFLOW_FILES,
  LIBTENSORFLOW_VARIABLE,
  libtensorflowFolder,
  libtensorflowPath,
} from "../base/libtensorflow_path.ts";
import { exists } from "../base/paths.ts";
import { LIBTENSORFLOW_VERSION } from "../base/versions.ts";
import { ensureCached } from "./cached.ts";
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
 * Makes sure that libtensorflow is here.
 *
 * @returns Path of the library
 * @throws {UsageError} when it can't be had, naming the cure
 */
export async function ensureLibtensorflow(progress: Progress): Promise<string> {
  const own = Deno.env.get(LIBTENSORFLOW_VARIABLE);
  if (own) {
    if (await exists(own)) return own;
    throw new UsageError(
      `${LIBTENSORFLOW_VARIABLE} is ${own}, where nothing is: correct it, or unset it to let Lockstep ` +
        "fetch the library",
    );
  }
  const platform = `${Deno.build.os}-${Deno.build.arch}`;
  const wheel = WHEELS[platform];
  if (!wheel && !await exists(libtensorflowPath())) {
    throw new UsageError(`There is no wheel with libtensorflow for ${platform}: ${MANUALLY}`);
  }
  await ensureCached({
    what: WHAT,
    path: libtensorflowFolder(),
    make: async (target, scratch) => {
      const entries = new Map(
        Object.values(LIBTENSORFLOW_FILES).map((name) => [
          `tensorflow/${name}`,
          join(target, "tensorflow", name),
        ]),
      );
      await Deno.mkdir(join(target, "tensorflow"), { recursive: true });
      await fetchEntries(wheel, scratch, entries, { what: WHAT, manually: MANUALLY, progress });
    },
  }, progress);
  const path = libtensorflowPath();
  if (!await exists(path)) {
    throw new UsageError(
      `${dirname(path)} lacks ${LIBTENSORFLOW_FILES.main}: remove that folder and run again`,
    );
  }
  return path;
}
