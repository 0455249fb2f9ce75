/**
 * A Deno project of somebody else's, which uses this one.
 *
 * @module
 */
import { join } from "node:path";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import type { CommandResult } from "./tiny_run.ts";
import { withTemporaryFolder } from "./temporary_folder.ts";
import { runDeno } from "./run_deno.ts";

/** A project in a folder of its own. */
export interface OtherProject {
  readonly folder: string;
  /** Runs `deno` in the folder, with a cache whose modules are its own and whose packages are this machine's. */
  deno(...args: readonly string[]): Promise<CommandResult>;
}

/**
 * Makes a project outside this repository; it is gone afterwards.
 *
 * @param config Its deno.json
 * @param files Text by path
 */
export async function withOtherProject(
  config: Record<string, unknown>,
  files: Readonly<Record<string, string>>,
  use: (project: OtherProject) => Promise<void>,
): Promise<void> {
  await withTemporaryFolder(async (root) => {
    const folder = join(root, "my project ü");
    const cache = join(root, "cache");
    await Deno.mkdir(folder);
    await Deno.mkdir(cache);
    await Deno.symlink(join(await denoCache(), "npm"), join(cache, "npm"));
    // The versions that are in the cache: nothing is asked of a registry.
    await Deno.copyFile(join(PROJECT_ROOT, "deno.lock"), join(folder, "deno.lock"));
    await Deno.writeTextFile(join(folder, "deno.json"), JSON.stringify(config));
    for (const [path, text] of Object.entries(files)) {
      await Deno.writeTextFile(join(folder, path), text);
    }
    await use({ folder, deno: (...args) => run(args, folder, cache) });
  });
}

async function run(args: readonly string[], cwd: string, cache: string): Promise<CommandResult> {
  return await runDeno(args, { cwd, env: { DENO_DIR: cache } });
}

/** The folder where Deno keeps modules and packages; another HOME would give another one. */
export async function denoCache(): Promise<string> {
  const { stdout } = await runDeno(["info", "--json"]);
  return JSON.parse(stdout).denoDir;
}
