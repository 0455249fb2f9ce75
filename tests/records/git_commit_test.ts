import assert from "node:assert/strict";
import { join } from "node:path";
import { gitCommit } from "../../src/records/git_commit.ts";

async function git(folder: string, ...args: string[]): Promise<string> {
  const identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
  const { code, stdout, stderr } = await new Deno.Command("git", {
    args: ["-C", folder, ...identity, ...args],
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("gitCommit() agrees with git on branches, packed refs, worktrees and a detached HEAD", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const main = join(folder, "main");
    await Deno.mkdir(join(main, "deep", "er"), { recursive: true });
    await git(main, "init", "--quiet");
    assert.equal(await gitCommit(main), undefined, "no commit yet");
    await git(main, "commit", "--quiet", "--allow-empty", "-m", "one");
    const first = await git(main, "rev-parse", "HEAD");
    assert.equal(await gitCommit(join(main, "deep", "er")), first);
    await git(main, "pack-refs", "--all");
    assert.equal(await gitCommit(main), first);
    const side = join(folder, "side");
    await git(main, "worktree", "add", "--quiet", "-b", "side", side);
    await git(side, "commit", "--quiet", "--allow-empty", "-m", "two");
    const second = await git(side, "rev-parse", "HEAD");
    assert.notEqual(second, first);
    assert.equal(await gitCommit(side), second);
    await git(main, "checkout", "--quiet", "--detach", second);
    assert.equal(await gitCommit(main), second);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("gitCommit() is undefined outside of a repository", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, ".git"), "not a link");
    assert.equal(await gitCommit(folder), undefined);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
