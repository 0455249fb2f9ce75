/**
 * Cases of the operating system's refusals: low limits, and paths that can't be what they should be.
 *
 * @module
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "@std/yaml";
import { train } from "../../mod.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { commandLine, lastState, newestRun, tinyConfig } from "../support/tiny_run.ts";
import type { Walked } from "../support/walk_wrong_paths.ts";
import type { Case } from "./case.ts";

const PROJECT = fileURLToPath(new URL("../../", import.meta.url));
const WALK = fileURLToPath(new URL("../support/walk_wrong_paths.ts", import.meta.url));
const SETPRIV = "-dac_override,-dac_read_search";

/** Trains with two workers in a shell that sets a limit before. */
async function trainLimited(folder: string, limit: string) {
  const root = join(folder, "images");
  await makeImages(root);
  const config = join(folder, "config.yaml");
  await Deno.writeTextFile(config, stringify(tinyConfig(root, { workers: 2 })));
  const { code, stderr } = await new Deno.Command("bash", {
    // SIGXFSZ is ignored from the start: Deno's own caches may be written before any line of ours.
    args: ["-c", `trap '' XFSZ; ulimit ${limit}; exec "$@"`, "bash"].concat(
      commandLine(["train", "--config", config]),
    ),
    cwd: folder,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stderr);
  assert.doesNotMatch(text, /os error|at file:|SIGXFSZ|disposal/, text);
  return { code, text, last: () => newestRun(join(folder, "runs")).then(lastState) };
}

/** Tells whether a command ended with an exit code of its own, a sentence, and the name of the obstacle. */
function isOrderly({ kind, path, code, text }: Walked): boolean {
  const mayDoWithout = path.includes("/copy-"); // a file of a run folder
  if (mayDoWithout && code === 0) return true;
  if ((code !== 1 && code !== 2) || /os error|at file:|disposal/.test(text)) return false;
  const named = [path.slice(0, 150), ...(kind.startsWith("below") ? [dirname(path)] : [])];
  return named.some((name) => text.includes(name));
}

/** Runs every command with every kind of wrong path, without the rights that root has over all files. */
async function walkWrongPaths(): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root, { train: { epochs: 1 } });
    await Deno.writeTextFile(join(folder, "config.yaml"), stringify(config));
    const run = join(folder, "run");
    await train(config, { folder: run, reporter: silentReporter() });
    const options = ["run", "--quiet", "--no-check", "--allow-all", "--config"];
    const walk = [...options, join(PROJECT, "deno.json"), WALK, folder, run, root];
    const isRoot = Deno.uid() === 0;
    const limits = [`--bounding-set=${SETPRIV}`, `--inh-caps=${SETPRIV}`, "--", Deno.execPath()];
    const { stdout, stderr } = await new Deno.Command(isRoot ? "setpriv" : Deno.execPath(), {
      args: isRoot ? [...limits, ...walk] : walk,
      cwd: folder,
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    const walked = new TextDecoder().decode(stdout).split("\n")
      .filter((line) => line.startsWith("@@")).map((line): Walked => JSON.parse(line.slice(2)));
    assert.ok(walked.length > 250, `${walked.length}: ${new TextDecoder().decode(stderr)}`);
    const wrong = walked.filter((end) => !isOrderly(end));
    assert.deepEqual(wrong, []);
  });
}

/** Inputs that once went wrong. */
export const CASES: readonly Case[] = Deno.build.os !== "linux" ? [] : [
  {
    name: "ulimit -n 64",
    must: "be one sentence with the cure, before anything starts",
    run: () =>
      withTemporaryFolder(async (folder) => {
        const { code, text } = await trainLimited(folder, "-n 64");
        assert.equal(code, 2);
        assert.equal(
          text,
          "error: This process may open 64 files, too few for 2 workers: " +
            "raise the limit to 112 or more (ulimit -n 112)\n",
        );
      }),
  },
  {
    name: "ulimit -Sn 40",
    must: "be raised as far as the user may, and train",
    run: () =>
      withTemporaryFolder(async (folder) => {
        const { code, text, last } = await trainLimited(folder, "-Sn 40");
        assert.equal(code, 0, text);
        assert.equal((await last()).epoch, 2);
      }),
  },
  {
    name: "ulimit -n 112",
    must: "train with two workers: what is asked for is enough",
    run: () =>
      withTemporaryFolder(async (folder) => {
        const { code, text, last } = await trainLimited(folder, "-n 112");
        assert.equal(code, 0, text);
        assert.equal((await last()).epoch, 2);
      }),
  },
  {
    name: "ulimit -f 200",
    must: "kill no worker: shared memory falls back to NATS, images are warnings",
    run: () =>
      withTemporaryFolder(async (folder) => {
        const { code, text, last } = await trainLimited(folder, "-f 200");
        assert.equal(code, 0, text);
        assert.match(text, /shared memory can't be reserved: .*larger.*: gradients go over NATS/);
        assert.match(text, /report\.html can't be written: .*raise the limit \(ulimit -f\)/);
        assert.equal((await last()).epoch, 2);
      }),
  },
  {
    name: "wrong paths of all kinds in all commands",
    must: "be one sentence that names the path, with exit code 1 or 2, and no wait",
    run: walkWrongPaths,
  },
];
