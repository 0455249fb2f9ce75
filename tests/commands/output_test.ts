import assert from "node:assert/strict";
import { commandLine } from "../support/tiny_run.ts";

/** Runs a shell script with the command line as `"$@"`. */
async function shell(script: string, args: readonly string[]) {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", script, "bash", ...commandLine(args)],
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

const COMMANDS = [["--help"], ["models"], ["models", "--json"], ["train", "--help"], ["data"]];

Deno.test({
  name:
    "standard output that can't be written is one sentence and exit code 1; a reader that left is none",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await Promise.all(COMMANDS.map(async (args) => {
      const full = await shell('"$@" > /dev/full', args);
      assert.equal(full.stderr, "error: Standard output can't be written: the disk is full\n");
      assert.equal(full.code, 1);
      const left = await shell('"$@" | true; exit ${PIPESTATUS[0]}', args);
      assert.deepEqual({ code: left.code, stderr: left.stderr }, { code: 0, stderr: "" });
    }));
    const silent = await shell('"$@" 2> /dev/full > /dev/full', ["nonsense"]);
    assert.equal(silent.code, 2);
    const head = await shell('"$@" | head -1', ["models"]);
    assert.equal(head.stdout.split("\n").length, 2);
    assert.equal(head.stderr, "");
  },
});

Deno.test({
  name: "a write beyond ulimit -f is one sentence with the cure",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const module = (name: string) =>
      JSON.stringify(new URL(`../../src/base/${name}`, import.meta.url).href);
    const code = `import { surviveFileLimit } from ${module("signals.ts")};
      import { writeFileAtomically } from ${module("paths.ts")};
      surviveFileLimit();
      const path = Deno.makeTempDirSync() + "/large";
      await writeFileAtomically(path, new Uint8Array(60_000_000)).catch(({ message }) => console.log(message));
      Deno.removeSync(path.slice(0, -6), { recursive: true });
      Deno.exit();`;
    const { stdout } = await new Deno.Command("bash", {
      args: ["-c", 'ulimit -f 40000; "$@"', "bash", Deno.execPath(), "eval", "--no-check", code],
      stdin: "null",
    }).output();
    assert.match(
      new TextDecoder().decode(stdout),
      /^\/.*large can't be written: the file would be larger than .* allows; raise the limit \(ulimit -f\)/,
    );
  },
});
