/**
 * The kind of a folder that was taken for a run's.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { exists } from "../base/paths.ts";
import { shownPath } from "../base/file_path.ts";

const CONFIG_FILE = "config.yaml";

/**
 * Says what a path is that should be a run folder and has no `config.yaml`.
 *
 * @returns The end of a sentence that the path begins, with the folder to name in its place where that is known
 */
export async function describeNoRun(path: string): Promise<string> {
  const info = await Deno.stat(path).catch(() => undefined);
  if (!info) return "is missing";
  if (!info.isDirectory) return "is a file, not a run folder";
  if (await exists(join(path, "comparison.json"))) {
    const run = await runWithin(path);
    return "is a comparison, whose runs lie in it" + (run ? `, such as ${shownPath(run)}` : "");
  }
  const run = await runAround(path);
  return "is not a run folder, it has no config.yaml" +
    (run ? `, but lies in the run ${shownPath(run)}` : "");
}

/** The first run in a comparison's folder: runs of several seeds lie one folder deeper. */
async function runWithin(folder: string, depth = 2): Promise<string | undefined> {
  if (await exists(join(folder, CONFIG_FILE))) return folder;
  if (depth === 0) return undefined;
  const names = (await Array.fromAsync(Deno.readDir(folder)).catch(() => []))
    .filter(({ isDirectory }) => isDirectory).map(({ name }) => name).sort();
  for (const name of names) {
    const run = await runWithin(join(folder, name), depth - 1);
    if (run) return run;
  }
  return undefined;
}

/** The run in which a folder lies, such as that of a checkpoint. */
async function runAround(path: string): Promise<string | undefined> {
  const above = [dirname(path), dirname(dirname(path))];
  for (const folder of above) {
    const files = [CONFIG_FILE, "checkpoints"].map((name) => exists(join(folder, name)));
    if ((await Promise.all(files)).every(Boolean)) return folder;
  }
  return undefined;
}
