/**
 * `deno task test`: fetches what the tests need, then runs them.
 *
 * The tests work on the real thing: TensorFlow's library, a real nats-server, real photos, real weights.
 * Arguments go on to `deno test`; paths among them replace the default, which is all of `tests/` and
 * the examples in doc comments; what follows `--` goes to the tests.
 *
 * ```sh
 * deno task test tests/engine --filter "openEngine()"
 * ```
 *
 * @module
 */
import { messageOf } from "../src/base/errors.ts";
import { exists } from "../src/base/paths.ts";
import { ensureDataset } from "../src/provision/datasets.ts";
import { ensureLibtensorflow } from "../src/provision/libtensorflow.ts";
import { ensureNatsServer } from "../src/provision/nats_server.ts";
import { ensurePretrainedWeights } from "../src/provision/pretrained_weights.ts";
import { PROJECT_ROOT } from "./files.ts";

/** What the tests may do; docs/permissions.md says why. They reach no machine but this one. */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-net=127.0.0.1,localhost,[::1],0.0.0.0",
  "--allow-run",
  "--allow-ffi",
  "--allow-sys",
  "--allow-env",
];

/** The tests, and the modules whose documented examples run as tests. */
const EVERYTHING = ["mod.ts", "src", "tests"];

/** Fetches what is missing; says so once for each thing. */
async function setUp(): Promise<void> {
  const told = new Set<string>();
  const progress: Parameters<typeof ensureLibtensorflow>[0] = ({ what, bytes }) => {
    if (bytes === undefined || told.has(what)) return;
    told.add(what);
    console.error(`Set-up: ${what}`);
  };
  await ensureLibtensorflow(progress);
  await ensureNatsServer(progress);
  await ensureDataset("food-groups", progress);
  await ensurePretrainedWeights("efficientnet_lite0", progress);
}

/** Runs `deno test` and returns its exit code; a signal sent to this process goes on to it. */
async function runTests(args: readonly string[]): Promise<number> {
  const chosen = await Promise.all(args.map((arg) => !arg.startsWith("-") && exists(arg)));
  const paths = chosen.includes(true) ? [] : ["--doc", ...EVERYTHING];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", ...PERMISSIONS, ...paths, ...args],
    cwd: PROJECT_ROOT,
    stdin: "null",
  }).spawn();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      try {
        child.kill(signal);
      } catch {
        // It has ended by itself.
      }
    });
  }
  return (await child.status).code;
}

if (import.meta.main) {
  try {
    await setUp();
  } catch (error) {
    console.error(`error: The tests can't be set up: ${messageOf(error)}`);
    Deno.exit(1);
  }
  Deno.exit(await runTests(Deno.args));
}
