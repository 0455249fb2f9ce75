/**
 * The commit that is checked out, read from git's files: the program may not be allowed to run git.
 *
 * @module
 */
import { dirname, join, resolve } from "node:path";
import { readRegularText } from "../base/regular_file.ts";

const COMMIT = /^[0-9a-f]{40}([0-9a-f]{24})?$/;

/**
 * The commit that HEAD points to in the repository around a folder.
 *
 * @returns The commit's hash, or `undefined` outside of a repository, before its first commit, or when its
 * files can't be read
 */
export async function gitCommit(folder: string): Promise<string | undefined> {
  const git = await gitFolder(resolve(folder));
  if (!git) return undefined;
  const head = await textOf(join(git, "HEAD"));
  if (head === undefined) return undefined;
  if (!head.startsWith("ref: ")) return COMMIT.test(head) ? head : undefined;
  const reference = head.slice("ref: ".length);
  // A worktree has a HEAD of its own; branches are in the main repository's folder.
  const common = resolve(git, await textOf(join(git, "commondir")) ?? ".");
  const commit = await textOf(join(common, reference)) ??
    packedCommit(await textOf(join(common, "packed-refs")) ?? "", reference);
  return commit && COMMIT.test(commit) ? commit : undefined;
}

/** The `.git` folder of the nearest folder upwards that has one. */
async function gitFolder(start: string): Promise<string | undefined> {
  for (let folder = start;; folder = dirname(folder)) {
    const path = join(folder, ".git");
    const entry = await Deno.stat(path).catch(() => undefined);
    if (entry?.isDirectory) return path;
    if (entry?.isFile) {
      const link = await textOf(path); // a worktree or a submodule
      return link?.startsWith("gitdir: ") ? resolve(folder, link.slice(8)) : undefined;
    }
    if (dirname(folder) === folder) return undefined;
  }
}

function packedCommit(packed: string, reference: string): string | undefined {
  const line = packed.split("\n").find((entry) => entry.endsWith(` ${reference}`));
  return line?.split(" ")[0];
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return (await readRegularText(path)).trim();
  } catch {
    return undefined; // the commit is only a help: no failure to read it matters
  }
}
