import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

async function lockstep(args: string[], env: Record<string, string>) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-all", "src/cli.ts", ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1", LOCKSTEP_LIBTENSORFLOW: "", ...env },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("runSetup() refuses an unknown part with exit code 2 and the nearest one", () =>
  withTemporaryFolder(async (cache) => {
    const { code, stderr } = await lockstep(["setup", "nats-servr"], { LOCKSTEP_CACHE: cache });
    assert.equal(code, 2);
    assert.match(stderr, /^error: Unknown part "nats-servr": did you mean nats-server\?$/m);
  }));

Deno.test("runSetup() lists what is there with its path", () =>
  withTemporaryFolder(async (cache) => {
    const library = join(cache, "library");
    await Deno.writeTextFile(library, "");
    const { code, stdout } = await lockstep(["setup", "libtensorflow"], {
      LOCKSTEP_CACHE: cache,
      LOCKSTEP_LIBTENSORFLOW: library,
    });
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^libtensorflow +${library}$`, "m"));
  }));

Deno.test("runDoctor() names the cure of everything that is missing and exits with 1", () =>
  withTemporaryFolder(async (cache) => {
    const { code, stdout } = await lockstep(["doctor"], {
      LOCKSTEP_CACHE: cache,
      LOCKSTEP_LIBTENSORFLOW: join(cache, "nothing"),
      PATH: cache,
    });
    assert.equal(code, 1);
    for (const name of ["libtensorflow", "one op", "nats-server", "photos", "weights"]) {
      assert.match(stdout, new RegExp(`^✗ ${name}.*\\n(?:.*\\n)*?  cure: .*deno task setup`, "m"));
    }
    assert.match(stdout, /^5 of the checks failed$/m);
  }));

Deno.test("runDoctor() ticks off a machine that is set up", async () => {
  const { code, stdout } = await lockstep(["doctor"], {
    LOCKSTEP_LIBTENSORFLOW: Deno.env.get("LOCKSTEP_LIBTENSORFLOW") ?? "",
  });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^✓ libtensorflow: TensorFlow 2\.\d+\.\d+ at .*; devices CPU:0/m);
  assert.match(stdout, /^✓ nats-server: .* a message went round in/m);
  assert.match(stdout, /^All is well$/m);
});
