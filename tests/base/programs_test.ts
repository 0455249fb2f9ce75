import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import project from "../../deno.json" with { type: "json" };
import { configFile, permissionFlags } from "../../src/base/programs.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runDeno } from "../support/run_deno.ts";

Deno.test("permissionFlags() gives a worker what deno.json's set names, and neither files to write, programs nor net", () => {
  assert.deepEqual(permissionFlags("worker"), [
    "--allow-read",
    "--allow-ffi",
    "--allow-sys=hostname",
    "--allow-env=LOCKSTEP_CACHE,LOCKSTEP_LIBTENSORFLOW,LOCKSTEP_FAULT_POINT,HOME,XDG_CACHE_HOME,USERPROFILE,LOCALAPPDATA",
    "--ignore-env",
  ]);
  for (const name of ["image-checker", "check-painter"] as const) {
    const flags = permissionFlags(name).map((flag) => flag.replace(/=.*/, ""));
    for (const flag of ["--allow-write", "--allow-net", "--allow-run", "--allow-all"]) {
      assert.ok(!flags.includes(flag), `${name} has ${flag}`);
    }
  }
});

Deno.test("permissionFlags() gives what deno -P gives, for every set", async () => {
  for (const name of Object.keys(project.permissions) as (keyof typeof project.permissions)[]) {
    const states = await Promise.all([[`-P=${name}`], permissionFlags(name)].map(statesWith));
    assert.deepEqual(states[0], states[1], name);
  }
});

/** The permissions of a process that is started with flags. */
async function statesWith(flags: readonly string[]): Promise<string> {
  const program = `const kinds = ["cpus", "hostname", "uid"].map((kind) => ({ name: "sys", kind }));
    const names = ["read", "write", "net", "run", "ffi", "import"].map((name) => ({ name }));
    const variables = ["HOME", "LOCKSTEP_X", "PATH", "SECRET"].map((variable) => ({ name: "env", variable }));
    console.log([...names, ...kinds, ...variables].map((each) =>
      Object.values(each).join() + " " + Deno.permissions.querySync(each).state).join("\\n"));
    for (const name of ["SECRET", "LOCKSTEP_X"]) console.log(Deno.env.get(name));`;
  const path = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(path, program);
    const { stdout, stderr } = await runDeno(
      ["run", "-q", "--no-prompt", "--config", "deno.json", ...flags, path],
      { env: { SECRET: "s", LOCKSTEP_X: "x" } },
    );
    assert.ok(stdout.length > 0, stderr);
    return stdout;
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("configFile() is that of the project that began the process, ours within this one", () =>
  withTemporaryFolder(async (folder) => {
    const lockstep = join(folder, "lock step ü");
    const root = pathToFileURL(lockstep + "/");
    const remote = new URL("http://127.0.0.1:1/lib/");
    const main = (...path: string[]) => pathToFileURL(join(folder, ...path)).href;
    const own = join(lockstep, "deno.json");
    await Deno.mkdir(join(folder, "project", "src"), { recursive: true });
    assert.equal(configFile(root, main("lock step ü", "src", "cli.ts")), own);
    assert.equal(configFile(root, main("project", "src", "main.ts")), own, "no other is found");
    assert.equal(configFile(remote, main("project", "src", "main.ts")), undefined);
    assert.equal(configFile(remote, "http://127.0.0.1:1/lib/src/cli.ts"), undefined);
    const theirs = join(folder, "project", "deno.jsonc");
    await Deno.writeTextFile(theirs, "{}");
    assert.equal(configFile(root, main("project", "src", "main.ts")), theirs);
    assert.equal(configFile(remote, main("project", "src", "main.ts")), theirs);
    assert.equal(configFile(remote, "http://127.0.0.1:1/lib/src/cli.ts"), undefined);
    const nearer = join(folder, "project", "src", "deno.json");
    await Deno.writeTextFile(nearer, "{}");
    assert.equal(configFile(root, main("project", "src", "main.ts")), nearer);
  }));
