import assert from "node:assert/strict";
import { explainExit, withLastLines } from "../../src/cluster/lost_worker.ts";
import { runDeno } from "../support/run_deno.ts";

const V8 = `
<--- Last few GCs --->
#
# Fatal JavaScript out of memory: CALL_AND_RETRY_LAST
#
==== C stack trace ===============================

    deno(+0x28b0d2e) [0x564150f92d2e]
    #01 0x7f00
`.split("\n");

Deno.test("a worker that ran out of memory is told so, however it ended", () => {
  const endings: [signal: string | null, code: number, line: string][] = [
    ["SIGTRAP", 133, "# Fatal JavaScript out of memory: CALL_AND_RETRY_LAST"],
    ["SIGABRT", 134, "memory allocation of 4096 bytes failed"],
    ["SIGABRT", 134, "terminate called after throwing an instance of 'std::bad_alloc'"],
    [null, 1, "RangeError: Array buffer allocation failed"],
    [null, 1, "OOM when allocating tensor with shape[32,64]"],
    [null, 1, "Memory ran out (mmap: Cannot allocate memory)"],
  ];
  for (const [signal, code, line] of endings) {
    assert.match(
      explainExit({ signal, code }, ["step 3", line]),
      / \(memory ran out: use a smaller/,
    );
  }
  assert.equal(
    explainExit({ signal: null, code: 1 }, ["ZOOM 3", "no room"]),
    "exited with code 1",
  );
  assert.match(explainExit({ signal: "SIGKILL", code: 137 }), /by the kernel, if memory ran out/);
});

Deno.test("a worker's last lines are without stack traces", () => {
  const lines = [
    ...V8,
    "Error: no",
    "    at work (file:///x.ts:1:2)",
    "    at async file:///y.ts:3:4",
  ];
  assert.equal(
    withLastLines("Rank 0 is gone", lines),
    "Rank 0 is gone; its last lines:\n  | <--- Last few GCs --->\n" +
      "  | # Fatal JavaScript out of memory: CALL_AND_RETRY_LAST\n  | Error: no",
  );
});

Deno.test("a process that really ran out of memory is recognized by its last lines", async () => {
  const code = "const a = []; for (;;) a.push(new Array(100_000).fill(0).map((i) => ({ i })));";
  const { signal, code: exit, stderr } = await runDeno(
    ["eval", "--v8-flags=--max-old-space-size=30", code],
  );
  const lines = stderr.trimEnd().split("\n").slice(-50);
  const message = withLastLines(explainExit({ signal, code: exit }, lines), lines);
  assert.match(
    message,
    /^was killed by SIG\w+ \(memory ran out: use a smaller batch or fewer workers/,
  );
  assert.doesNotMatch(message, /\[0x|C stack trace/);
});

Deno.test("explainExit() explains an error of CUDA among the last lines", () => {
  const lines = ["F0000 gpu_event.cc:1] CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure"];
  assert.match(
    explainExit({ signal: "SIGABRT", code: 134 }, lines),
    /SIGABRT \(A kernel has failed on the GPU, or the GPU has fallen off the bus: look at dmesg/,
  );
});
