/**
 * Cases of the library's fitness for other projects: no bare names, no files beside modules, one version, permissions
 * in one place.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import project from "../../deno.json" with { type: "json" };
import { PROJECT_ROOT, sourceFiles } from "../../scripts/files.ts";
import { LOCKSTEP_VERSION } from "../../src/base/versions.ts";
import { runCommand } from "../support/tiny_run.ts";
import type { Case } from "./case.ts";

/** Files that may look at where they are: programs need an address, and a commit a folder if there is one. */
const PLACED = ["src/base/programs.ts", "src/records/environment.ts", "src/cli.ts"];

async function source(): Promise<Map<string, string>> {
  const files = (await sourceFiles(PROJECT_ROOT)).filter((file) =>
    /^(src|workers)\//.test(file) || file === "mod.ts"
  );
  return new Map(
    await Promise.all(
      files.map(async (file) => [file, await Deno.readTextFile(join(PROJECT_ROOT, file))] as const),
    ),
  );
}

/** Files of the source that match, without their comments. */
async function matching(pattern: RegExp): Promise<string[]> {
  return [...await source()].flatMap(([file, text]) =>
    pattern.test(text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "")) ? [file] : []
  ).sort();
}

export const CASES: readonly Case[] = [
  {
    name: "assets beside modules",
    must: "are imported, not read: an imported module may have no folder",
    run: async () => {
      assert.deepEqual(await matching(/import\.meta\.(url|dirname|filename|main)/), PLACED.sort());
      const text = await matching(/with: ?\{ type: "text" \}|with \{ type: "text" \}/);
      for (
        const file of ["src/web/page.ts", "src/dashboard/pages.ts", "src/export/demo_files.ts"]
      ) {
        assert.ok(text.includes(file), file);
      }
    },
  },
  {
    name: "unstable features",
    must: "are not used: keys of our deno.json don't reach an importer",
    run: async () => {
      assert.ok(!Object.hasOwn(project, "unstable"));
      assert.deepEqual(await matching(/type: "bytes"|--unstable/), []);
    },
  },
  {
    name: "the version",
    must: "stands in deno.json alone",
    run: async () => {
      assert.equal(LOCKSTEP_VERSION, project.version);
      const { stdout } = await runCommand(["--version"], PROJECT_ROOT);
      assert.equal(stdout.trim(), `Lockstep ${project.version}`);
      const literal = new RegExp(`VERSION[^=\\n]*= "${RegExp.escape(project.version)}"`);
      assert.deepEqual(await matching(literal), []);
    },
  },
  {
    name: "permissions of processes",
    must: "stand in deno.json's sets alone",
    run: async () => {
      // The broker's own address is only known when it runs.
      const own = ["src/base/programs.ts", "src/hosts/spawn.ts"];
      assert.deepEqual(await matching(/["'`]--allow-(?!module)/), own);
    },
  },
  {
    name: "entries of the package",
    must: "are the library and the command line",
    run: () => assert.deepEqual(project.exports, { ".": "./mod.ts", "./cli": "./src/cli.ts" }),
  },
  {
    name: "the beginning of README.md",
    must: "says how to get the code, then the two commands",
    run: async () => {
      const readme = await Deno.readTextFile(join(PROJECT_ROOT, "README.md"));
      const [, first] = /```sh\n(.*?)```/s.exec(readme)!;
      const commands = first.trim().split("\n").map((line) => line.replace(/ +#.*/, ""));
      assert.deepEqual(commands, [
        "git clone REPOSITORY lockstep",
        "cd lockstep",
        "npx -y deno task train --workers 2",
        "npx -y deno task test",
      ]);
    },
  },
];
