import assert from "node:assert/strict";
import { join } from "node:path";
import { fakeGpuMachine, type FakeMachine, type NcclFault } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("nccl_program.ts", import.meta.url).pathname;
/** Milliseconds: half of those after which the program's waits end by themselves. */
const MAX_MS = 30_000;

async function play(machine: FakeMachine, ...[scenario, ...args]: [string, ...string[]]) {
  const { env, nvidiaFolder } = machine;
  const command = ["run", "-A", "--no-check", PROGRAM, scenario, nvidiaFolder, ...args];
  const { code, stdout, stderr } = await runDeno(command, { env });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

fakeCudaTest(
  "NCCL sums groups of vectors with each rank's factor, when the stream gets there",
  async () => {
    await using machine = await fakeGpuMachine({ gpus: 3 });
    const { version, results } = await play(machine, "sums");
    assert.equal(version, "2.27.7");
    assert.equal(
      results[0].early,
      null,
      "NaN, as GPU memory begins: no sum before the others' streams are there",
    );
    for (const { wrong, small, from } of results) {
      assert.equal(wrong, -1);
      assert.deepEqual(small, Array(5).fill(13));
      assert.deepEqual(from.slice(1, 3), [0, 0], "factors of 0");
    }
  },
);

fakeCudaTest(
  "what keeps ranks from joining or summing is said, with a cure, and ends in time",
  async () => {
    const cure = "NCCL_DEBUG=INFO prints more; or set exchange to shared-memory";
    {
      await using machine = await fakeGpuMachine({ gpus: 2 });
      const { message, failure } = await play(machine, "joins", "", "same");
      assert.equal(failure, "invalidUsage");
      assert.match(
        message,
        /^NCCL failed on rank \d in ncclCommInitRankConfig \(invalid usage .*Duplicate GPU detected .*\): give each rank a GPU of its own; /,
      );
      const missing = fakeGpuMachine({ gpus: 2, without: ["libnccl.so.2"] });
      await using machine2 = await missing;
      const { message: text } = await play(machine2, "joins");
      assert.match(text, /^NCCL doesn't load \(.*\): run "deno task setup --device gpu"; or set/);
    }
    const cases: [NcclFault, [string, ...string[]], RegExp][] = [
      [
        "initError",
        ["joins"],
        /unhandled system error.*shared memory segment\): name a network int/,
      ],
      ["noNetwork", ["joins"], /ncclGetUniqueId \(.*no socket interface found\): name a network/],
      ["initHang", ["joins", "short"], /^NCCL on rank \d didn't finish ncclCommInit\w+ in 0 s: if/],
      ["initHang", ["signal"], /^told to end$/],
    ] as const;
    for (const [fault, args, expected] of cases) {
      await using machine = await fakeGpuMachine({ gpus: 2, nccl: { fault } });
      const { message, ms } = await play(machine, ...args);
      assert.match(message, expected);
      if (fault !== "initHang") assert.ok(message.includes(cure), message);
      assert.ok(ms < MAX_MS, `${fault}: ${ms} ms`);
    }
    const later = [
      [
        "hang",
        "timeout",
        /^NCCL on rank \d didn't finish a sum in 0 s: .*NCCL_P2P_DISABLE=1; NCCL_D/,
      ],
      [
        "remoteError",
        "remoteError",
        /^NCCL failed on rank \d in \w[\w ]+ \(remote process exited .*Con/,
      ],
    ] as const;
    for (const [fault, failure, expected] of later) {
      await using machine = await fakeGpuMachine({ gpus: 2, nccl: { fault, afterOperations: 1 } });
      const { sums, second, after } = await play(machine, "fault");
      assert.deepEqual(sums, [3000, 3002]);
      assert.equal(second.failure, failure);
      assert.match(second.message, expected);
      assert.ok(second.ms < MAX_MS, `${fault}: ${second.ms} ms`);
      assert.match(after.message, expected, "the first failure is said again");
    }
  },
);

fakeCudaTest("a sum that is aborted is an error, though the stream is done", async () => {
  await using machine = await fakeGpuMachine({ gpus: 2 });
  const { message, ms } = await play(machine, "aborted");
  assert.equal(message, "told to end");
  assert.ok(ms < MAX_MS, `${ms} ms`);
});

fakeCudaTest("a rank whose neighbour was killed ends when its signal fires", async () => {
  await using machine = await fakeGpuMachine({ gpus: 2 });
  const path = join(machine.folder, "id");
  const { env, nvidiaFolder } = machine;
  const killed = runDeno(["run", "-A", "--no-check", PROGRAM, "rank", nvidiaFolder, "1", path], {
    env,
  });
  const { first, lost } = await play(machine, "rank", "0", path);
  assert.equal((await killed).signal, "SIGKILL");
  assert.equal(first, 3);
  assert.match(lost.message, /aborted due to timeout/);
  assert.ok(lost.ms < MAX_MS, `${lost.ms} ms`);
});
