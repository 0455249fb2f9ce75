/**
 * The permissions of a worker in a real run, tried by a data module of the user's.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { transformsFor } from "../support/images.ts";
import { startPlainServer } from "../support/nats_server.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { newestRun, startTrain, tinyConfig } from "../support/tiny_run.ts";
import { writeModules } from "../support/user_modules.ts";

const PASSWORD = "hidden-password";
const USERS = `authorization { users = [{ user: me, password: ${PASSWORD} }] }`;

/** Tries, in a worker, what a worker may not do; prints the class of each error, and what it sees of the environment. */
const TRIES = (port: number, secrets: readonly string[]) => `
import { execFileSync } from "node:child_process";

async function tried(action) {
  try {
    const value = await action();
    return value === undefined ? "undefined" : "allowed";
  } catch (error) {
    return error.name === "NotCapable" ? error.name : error.name + ": " + error.message;
  }
}

async function tryAll() {
  const own = new URL("data.ts", import.meta.url);
  const beside = new URL("written", import.meta.url);
  const outcomes = {};
  const actions = {
    write: () => Deno.writeTextFile(beside, "x"),
    append: () => Deno.open(own, { append: true }),
    remove: () => Deno.remove(own),
    rename: () => Deno.rename(own, beside),
    mkdir: () => Deno.mkdir(beside),
    link: () => Deno.symlink(own, beside),
    chmod: () => Deno.chmod(own, 0o777),
    temporary: () => Deno.makeTempFile(),
    command: () => new Deno.Command("sh", { args: ["-c", "true"] }).output(),
    execFile: () => execFileSync("sh", ["-c", "true"]),
    kill: () => Deno.kill(Deno.ppid, "SIGCONT"),
    connect: () => Deno.connect({ hostname: "127.0.0.1", port: ${port} }),
    connectElsewhere: () => Deno.connect({ hostname: "127.0.0.2", port: ${port} }),
    listen: () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
    fetch: () => fetch("http://127.0.0.1:${port}/"),
    import: () => import(["http:", "", "127.0.0.1:${port}", "module.js"].join("/")),
    resolve: () => Deno.resolveDns("example.org", "A"),
    ownEnvironment: () => Deno.readTextFile("/proc/self/environ"),
    parentEnvironment: () => Deno.readTextFile("/proc/" + Deno.ppid + "/environ"),
    parentMemory: () => Deno.open("/proc/" + Deno.ppid + "/mem"),
    exit: () => Deno.exit(0),
    variable: () => Deno.env.get("SECRET_OF_THE_USER"),
    url: () => Deno.env.get("LOCKSTEP_NATS_URL"),
    allVariables: () => Deno.env.toObject().SECRET_OF_THE_USER,
    ${
  secrets.map((path, index) => `secret${index}: () => Deno.readTextFile("${path}"),`).join("\n")
}
  };
  for (const [name, action] of Object.entries(actions)) outcomes[name] = await tried(action);
  console.log("TRIED " + JSON.stringify({ pid: Deno.pid, outcomes }));
}

if (Deno.permissions.querySync({ name: "run" }).state !== "granted") await tryAll();

const image = (index) => ({ width: 12, height: 12, data: new Uint8Array(432).fill(index) });
const samples = (length) => ({
  length,
  sample: (index) => ({ image: image(index), label: index % 2 }),
});
export const createDataset = () => ({ classes: ["a", "b"], train: samples(16), val: samples(4) });
`;

/** Returns a file of a process that Deno reads with all permissions alone. */
async function processFile(pid: number, name: string): Promise<string> {
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/${name}`] }).output();
  return new TextDecoder().decode(stdout);
}

Deno.test("a module in a worker can't write, start programs, use the network or read the server's credentials", () =>
  withTemporaryFolder(async (folder) => {
    await using server = await startPlainServer(USERS);
    const port = Number(server.url.split(":").at(-1));
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const credentials = join(folder, "credentials");
    await Deno.writeTextFile(credentials, `me:${PASSWORD}`, { mode: 0o600 });
    await writeModules(folder, { data: TRIES(listener.addr.port, [credentials]) });
    const config = tinyConfig(folder, {
      out: join(folder, "runs"),
      data: { module: join(folder, "data.ts"), train: transformsFor(12), val: transformsFor(12) },
      train: { epochs: 200, batchSize: 8 },
    });
    const env = { SECRET_OF_THE_USER: "hidden", LOCKSTEP_NATS_URL: "" };
    const url = `nats://localhost:${port}`;
    const ways = [
      { args: ["--nats", url, "--set", `nats.credentials=${credentials}`], env, denied: true },
      {
        args: [],
        env: { ...env, LOCKSTEP_NATS_URL: url.replace("//", `//me:${PASSWORD}@`) },
        denied: false,
      },
    ];
    for (const { args, env, denied } of ways) {
      await using run = await startTrain(folder, config, ["--verbose", ...args], env);
      await run.seen(/TRIED \{.*\}/);
      const [, json = ""] = /TRIED (\{.*\})/.exec(run.output()) ?? [];
      const { pid, outcomes } = JSON.parse(json);
      assert.deepEqual(outcomes, {
        ...Object.fromEntries(Object.keys(outcomes).map((name) => [name, "NotCapable"])),
        // Refused with errors of their own.
        execFile: "Error: Command failed: sh -c true",
        import: outcomes.import,
        exit: outcomes.exit,
        variable: "undefined",
        url: "undefined",
        allVariables: "undefined",
        // A file of the user's, which is no secret of this run.
        secret0: denied ? "NotCapable" : "allowed",
      });
      assert.match(outcomes.import, /^TypeError: Requires import access to "127\.0\.0\.1:/);
      assert.match(outcomes.exit, /^LockstepError: /);
      const [environment, commandLine] = await Promise.all(
        ["environ", "cmdline"].map((name) => processFile(pid, name)),
      );
      assert.match(commandLine, /train_worker/);
      assert.doesNotMatch(environment + commandLine, new RegExp(PASSWORD));
      run.kill("SIGINT");
      assert.equal((await run.result).code, 130, run.output());
      assert.doesNotMatch(run.output(), new RegExp(PASSWORD));
      const out = await newestRun(join(folder, "runs"));
      for (const name of ["config.yaml", "run.log", "environment.json", "events.jsonl"]) {
        assert.doesNotMatch(await Deno.readTextFile(join(out, name)), new RegExp(PASSWORD), name);
      }
    }
    await Deno.stat(join(folder, "data.ts")); // is still there
    await assert.rejects(Deno.stat(join(folder, "written")), Deno.errors.NotFound);
  }));
