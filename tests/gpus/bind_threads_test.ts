import assert from "node:assert/strict";
import { parseCpuList } from "../../src/gpus/numa.ts";
import { runDeno } from "../support/run_deno.ts";

const MODULES = new URL("../../src/", import.meta.url);

/** Prints what the calling thread may use, before and after two calls, and what a thread that it starts may use. */
const PROGRAM = `
  import { bindThreads } from ${JSON.stringify(new URL("gpus/bind_threads.ts", MODULES).href)};
  const allowed = () =>
    /^Cpus_allowed_list:\\s*(.*)$/m.exec(Deno.readTextFileSync("/proc/thread-self/status"))[1];
  const before = allowed();
  const none = bindThreads([8000]);
  const still = allowed();
  const wanted = Number(/\\d+$/.exec(before)[0]);
  const bound = bindThreads([wanted, 8000]);
  const code = 'postMessage(Deno.readTextFileSync("/proc/thread-self/status"))';
  const worker = new Worker("data:text/javascript," + encodeURIComponent(code), {
    type: "module",
    deno: { permissions: "inherit" },
  });
  const status = await new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data));
  const inherited = /^Cpus_allowed_list:\\s*(.*)$/m.exec(status)[1];
  console.log(JSON.stringify({ before, none, still, wanted, bound, after: allowed(), inherited }));
  Deno.exit(0);
`;

Deno.test({
  name:
    "bindThreads() binds a thread and those it starts, within what it may use, or nothing at all",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const { stdout, stderr } = await runDeno([
      "run",
      "-A",
      "--unstable-worker-options",
      "--no-config",
      `data:text/typescript,${encodeURIComponent(PROGRAM)}`,
    ]);
    assert.notEqual(stdout, "", stderr);
    const { before, none, still, wanted, bound, after, inherited } = JSON.parse(stdout);
    assert.deepEqual(none, [], "no such CPU");
    assert.equal(still, before);
    assert.deepEqual(bound, [wanted]);
    assert.deepEqual(parseCpuList(after), [wanted]);
    assert.deepEqual(parseCpuList(inherited), [wanted]);
  },
});
