import assert from "node:assert/strict";
import { join } from "node:path";
import { exists } from "../../src/base/paths.ts";
import { makeImages } from "../support/images.ts";
import { startPlainServer } from "../support/nats_server.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { startCommand, startTrain, tinyConfig } from "../support/tiny_run.ts";

const PASSWORD = "s3cr3t%2Fp%40ss";
const PLAIN = "s3cr3t/p@ss";

/** A network that leaves a trace when its module is imported. */
const MODEL = (trace: string) => `
try {
  Deno.writeTextFileSync(${JSON.stringify(trace)}, "imported");
} catch { /* a worker may not write */ }
export const createModel = ({ inputShape, numClasses }, tf) => tf.sequential({ layers: [
  tf.layers.flatten({ inputShape }),
  tf.layers.dense({ name: "head", units: numClasses }),
] });
`;

/** Text of all files below a folder, one per file. */
async function* filesBelow(folder: string): AsyncGenerator<[path: string, text: string]> {
  for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) yield* filesBelow(path);
    if (isFile) yield [path, new TextDecoder("latin1").decode(await Deno.readFile(path))];
  }
}

Deno.test("a server's password is in no file and no message of a run, and a foreign run folder runs and reaches nothing unasked", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = join(folder, "recipes");
    await Deno.mkdir(config);
    const trace = join(folder, "trace");
    const module = join(config, "model.ts");
    await Deno.writeTextFile(module, MODEL(trace));
    await using server = await startPlainServer(
      `authorization { user: "me", password: "${PLAIN}" }`,
    );
    const address = server.url.replace("://", `://me:${PASSWORD}@`);
    const recipe = tinyConfig(root, {
      model: { module, weights: "none" },
      nats: { url: address },
      train: { epochs: 1 },
    });
    const first = await (await startTrain(config, recipe)).result;
    assert.equal(first.code, 0, first.stderr);
    const [{ name }] = (await Array.fromAsync(Deno.readDir(join(folder, "runs"))))
      .filter(({ isDirectory }) => isDirectory);
    const run = join(folder, "runs", name);
    const command = (args: string[], env: Record<string, string> = {}) =>
      startCommand(args, folder, env).result;

    // Without the credentials; with them in the environment.
    const more = ["train", "--resume", run, "--set", "train.epochs=2"];
    const refused = await command(more);
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(
      refused.stderr,
      /wants credentials, and none were given: .*--nats.*LOCKSTEP_NATS_URL/,
    );
    const resumed = await command(more, { LOCKSTEP_NATS_URL: address });
    assert.equal(resumed.code, 0, resumed.stderr);

    // A wrong address isn't shown either.
    const wrong = await command([
      "train",
      "--config",
      join(config, "config.yaml"),
      "--nats",
      `me:${PLAIN}@:x`,
    ]);
    assert.equal(wrong.code, 2);
    const shown = [first, refused, resumed, wrong].map(({ stdout, stderr }) => stdout + stderr);
    for (const secret of [PASSWORD, PLAIN]) {
      assert.ok(shown.every((text) => !text.includes(secret)), "shown");
      for await (const [path, text] of filesBelow(run)) assert.ok(!text.includes(secret), path);
    }

    // Trained with: runs without a flag, and not over the run's server, which wants a password.
    const own = await command(["evaluate", "--run", run, "--workers", "1"]);
    assert.equal(own.code, 0, own.stderr);

    // Somebody else's: another user's record is empty.
    await Deno.remove(trace);
    const stranger = {
      LOCKSTEP_CACHE: join(folder, "cache"),
      LOCKSTEP_TRUSTED: join(folder, "trusted"),
    };
    for (
      const args of [
        ["evaluate", "--run", run],
        ["predict", "--run", run, root],
        ["train", "--resume", run, "--set", "train.epochs=3"],
        ["train", "--config", join(run, "config.yaml")],
      ]
    ) {
      const { code, stderr } = await command(args, stranger);
      assert.equal(code, 2, stderr);
      assert.match(
        stderr,
        /model\.module \S+model\.ts \(SHA-256 [\da-f]{64}\).* (--allow-module |--set model\.module=)\S+model\.ts/,
      );
      assert.ok(!await exists(trace), args.join(" "));
    }
    const named = await command(
      ["train", "--resume", run, "--set", "train.epochs=3", "--allow-module", module],
      stranger,
    );
    assert.equal(named.code, 2, named.stderr);
    assert.match(
      named.stderr,
      /nats-server that you haven't used .*--nats nats:\/\/127\.0\.0\.1:\d+/,
    );
    assert.ok(!await exists(trace));
    const mistaken = await command(["evaluate", "--run", run, "--allow-module", "other.ts"]);
    assert.match(mistaken.stderr, /--allow-module other\.ts is no module that is needed from Run/);
  }));
