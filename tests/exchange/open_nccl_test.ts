import assert from "node:assert/strict";
import { fakeGpuMachine, type FakeMachineOptions } from "../support/fake_cuda/machine.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { runDeno } from "../support/run_deno.ts";

const PROGRAM = new URL("open_nccl_program.ts", import.meta.url).pathname;

/** Lets ranks agree, maybe those of several hosts; returns what all of them say. */
async function agree(
  options: FakeMachineOptions,
  devices: string,
  without = "none",
  hosts: readonly number[] = [],
) {
  await using machine = await fakeGpuMachine({ gpus: 3, ...options });
  // What somebody waits for in vain ends soon, and all else has time on a busy machine.
  const limits = {
    ...(without === "none" ? {} : { rankMs: 4_000 }),
    ...(options.nccl?.fault === "initHang" ? { joinMs: 2_000 } : {}),
    ...(options.nccl?.fault === "hang" ? { trialMs: 2_000 } : {}),
  };
  const { code, stdout, stderr } = await runDeno(
    [
      "run",
      "-A",
      "--no-check",
      PROGRAM,
      machine.nvidiaFolder,
      devices,
      without,
      hosts.join(),
      JSON.stringify(limits),
    ],
    { env: machine.env },
  );
  assert.equal(code, 0, stderr);
  const outcomes: { outcome: string; ms: number }[] = JSON.parse(stdout);
  for (const { outcome, ms } of outcomes) assert.ok(ms < 30_000, `${outcome}: ${ms} ms`);
  return outcomes.map(({ outcome }) => outcome);
}

/** Asserts that all ranks say the same. */
async function agreeOn(
  options: FakeMachineOptions,
  devices: string,
  expected: RegExp,
  hosts: readonly number[] = [],
) {
  const outcomes = await agree(options, devices, "none", hosts);
  assert.equal(new Set(outcomes).size, 1, outcomes.join("\n"));
  assert.match(outcomes[0]!, expected);
}

fakeCudaTest(
  "all ranks take NCCL where known values come out right on every card",
  () => agreeOn({}, "0,1,2", /^nccl$/),
);

fakeCudaTest(
  "all ranks give NCCL up for one reason, in time: what they have, and what they get",
  async () => {
    const cases: [FakeMachineOptions, string, RegExp][] = [
      [{}, "cpu,cpu", /^nothing to say$/],
      [{}, "0,cpu,1", /^rank 1 computes on the CPU$/],
      [{}, "0,1,0", /^ranks 0 and 2 share a GPU \(\w+\), which NCCL refuses: use as many workers/],
      [{ without: ["libnccl.so.2"] }, "0,1", /^NCCL doesn't load \(.*\): run "deno task setup/],
      [{ nccl: { fault: "noNetwork" } }, "0,1", /no socket interface found\): name a network int/],
      [
        { nccl: { fault: "initError" } },
        "0,1",
        /^NCCL failed on rank \d in ncclCommInitRankConfig/,
      ],
      [{ nccl: { fault: "initHang" } }, "0,1", /^NCCL on rank \d didn't finish ncclCommInitRank/],
      [
        { nccl: { fault: "zeros" } },
        "0,1",
        /^NCCL summed 400000 known values on rank 0, and the other cards' values arrive as zeros: switch/,
      ],
      [{ nccl: { fault: "largeZeros" } }, "0,1", /^NCCL summed 400000 .* arrive as zeros: switch/],
      [{ nccl: { fault: "hang" } }, "0,1,2", /^NCCL on rank \d didn't finish the sum of the grad/],
      [{ nccl: { fault: "remoteError" } }, "0,1", /^NCCL failed on rank \d in .*Connection closed/],
    ];
    // Two at a time: each is a process that mostly waits.
    for (let at = 0; at < cases.length; at += 2) {
      await Promise.all(cases.slice(at, at + 2).map((one) => agreeOn(...one)));
    }
  },
);

fakeCudaTest("a rank that doesn't come is named", async () => {
  const [first, , third] = await agree({}, "0,1,2", "1");
  assert.equal(first, "error: Rank 0 waited 4 s for rank 1 to open its exchange");
  assert.equal(third, "error: Rank 2 waited 4 s for rank 1 to open its exchange");
});

fakeCudaTest("ranks of several hosts agree on NCCL, or on one reason against it", async () => {
  const cases: [FakeMachineOptions, string, RegExp][] = [
    [{}, "0,1,2", /^nccl$/],
    [{}, "0,1,cpu", /^rank 2 computes on the CPU$/],
    [
      { nccl: { fault: "initError" } },
      "0,1,2",
      /^NCCL failed on rank \d in ncclCommInitRankConfig/,
    ],
  ];
  await Promise.all(cases.map((one) => agreeOn(...one, [2, 1])));
});
