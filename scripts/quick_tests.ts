/**
 * `deno task test:quick`: the unit tests, for every commit: no processes, no broker, no browser, no network.
 *
 * The unit tests run without the permissions to start programs and to open connections. A test that needs one of them
 * fails here, and so shows that {@linkcode NEEDS_MORE} doesn't know the test's need.
 *
 * @module
 */
import { dirname, join } from "node:path/posix";
import { messageOf } from "../src/base/errors.ts";
import { ensureLibtensorflow } from "../src/provision/libtensorflow.ts";
import { exitCode, startChild } from "./children.ts";
import { PROJECT_ROOT, sourceFiles } from "./files.ts";
import { PERMISSIONS } from "./test.ts";

/** Signs, in a test or a file of `tests/` that it imports, that the test needs more than a unit test may. */
const NEEDS_MORE =
  /Deno\.(Command|serve|listen|connect)|node:(child_process|http|net)|\bnew Worker\(|\bfetch\(|\b(startBroker|startServer|spawnWorkers|startRig|train|compare|benchAllReduce|benchScaling|evaluateRun|checkLayers|writePictureGrid)\(|playwright|chromium/;

/** Unit tests for the whole suite only: some take longer than all others, one watches its process's memory. */
const LONG: readonly string[] = [
  "tests/export/architectures_test.ts",
  "tests/models/parity_test.ts",
  "tests/train/memory_test.ts",
];

/** Those of the whole suite, without connections and programs. */
const UNIT_PERMISSIONS = PERMISSIONS.filter((flag) => !/^--allow-(net|run)/.test(flag));

/**
 * Finds the unit tests of a project.
 *
 * @param sources Text of each `.ts` file below `tests/`, by path relative to the root
 * @returns Test files in the order of `sources`
 */
export function quickTests(sources: ReadonlyMap<string, string>): string[] {
  const needsMore = (file: string, seen: Set<string>): boolean => {
    const text = sources.get(file);
    if (text === undefined || seen.has(file)) return false;
    seen.add(file);
    if (NEEDS_MORE.test(text)) return true;
    const imports = text.matchAll(/\b(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g);
    return [...imports].some(([, specifier]) => needsMore(join(dirname(file), specifier), seen));
  };
  return [...sources.keys()].filter((file) =>
    file.endsWith("_test.ts") && !LONG.includes(file) && !needsMore(file, new Set())
  );
}

/** Reads the `.ts` files below `tests/`. */
async function readTests(root: string): Promise<Map<string, string>> {
  const files = (await sourceFiles(root)).filter((file) => file.startsWith("tests/"));
  const read = async (file: string) => [file, await Deno.readTextFile(join(root, file))] as const;
  return new Map(await Promise.all(files.map(read)));
}

if (import.meta.main) {
  try {
    await ensureLibtensorflow(() => {});
  } catch (error) {
    console.error(`error: The tests can't be set up: ${messageOf(error)}`);
    Deno.exit(1);
  }
  const files = quickTests(await readTests(PROJECT_ROOT));
  const args = ["test", "--parallel", ...UNIT_PERMISSIONS, ...Deno.args, ...files];
  Deno.exit(exitCode((await startChild(Deno.execPath(), { args, cwd: PROJECT_ROOT }).status).code));
}
