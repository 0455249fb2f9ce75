import assert from "node:assert/strict";
import { join } from "node:path";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand } from "../support/tiny_run.ts";

const WRONG_USE: [string[], RegExp][] = [
  [["scalling"], /^error: Unknown benchmark "scalling": did you mean scaling\?$/m],
  [["all", "reduce"], /^error: Unknown benchmark "all": known are step, /m],
  [["allreduce", "--sizes", "1MB..x"], /^error: "x" is not a size: write sizes such as 44\.7MB/m],
  [["allreduce", "--workers", "0"], /^error: --workers is 0: give whole numbers of at least 1/m],
  [
    ["allreduce", "--dtype", "half"],
    /^error: --dtype is half: give float32 or float16 or bfloat16$/m,
  ],
  [
    ["allreduce", "--dtype", "float16"],
    /^error: --dtype is float16, but .*: add --exchange nats$/m,
  ],
  [["allreduce", "2"], /^error: Unexpected argument "2" of bench allreduce/m],
  [["scaling", "--mode", "strange"], /^error: --mode is strange: give weak, strong or both$/m],
  [["scaling", "--model", "resnet"], /^error: Unknown model "resnet": did you mean resnet\d+\?/m],
  [["scaling", "--simulate-compute=-1"], /^error: --simulate-compute is -1: give a number of at/m],
  [
    ["scaling", "--step", "3"],
    /^error: Unknown flag --step of bench scaling: did you mean --steps/m,
  ],
  [
    ["step", "--precision", "fp16"],
    /^error: --precision is fp16: give float32, tf32, float16, bfloat16$/m,
  ],
  [["step", "--profile", "--eager"], /^error: --profile shows the nodes of captured functions, /m],
  [["step", "--profile", "--xla"], /^error: --profile shows TensorFlow's nodes, of which --xla/m],
  [["step", "--eager", "--xla"], /^error: --xla compiles captured functions, which --eager has/m],
  [["step", "--out", "x"], /^error: --out needs --profile/m],
  [["predict", "--inter", "tree"], /^error: --inter is tree: give star or ring$/m],
  [
    ["predict", "no/such.json"],
    /^error: no\/such\.json can't be read .*: give a result\.json that/m,
  ],
  [
    ["predict", "x.json", "--sizes", "1MB"],
    /--sizes says what to measure, but x\.json is measured/,
  ],
];
for (const [args, expected] of WRONG_USE) {
  Deno.test(`main() refuses bench ${args.join(" ")} with exit code 2`, async () => {
    await withTemporaryFolder(async (folder) => {
      const { code, stderr } = await runCommand(["bench", ...args], folder);
      assert.equal(code, 2, stderr);
      assert.match(stderr, expected);
      assert.doesNotMatch(stderr, /\n\s+at /, "a usage error shows no stack trace");
    });
  });
}

async function filesOf(folder: string): Promise<string[]> {
  const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
  return names.sort();
}

const RESULT_FILES = ["result.csv", "result.json", "result.png", "result.svg"];

Deno.test("bench allreduce writes files that bench predict fits and extrapolates", async () => {
  await withTemporaryFolder(async (folder) => {
    const measured = await runCommand(
      [
        "bench",
        "allreduce",
        "--exchange",
        "shared-memory",
        "--sizes",
        "20KB..160KB",
        "--steps",
        "3",
        "--out",
        "measured",
      ],
      folder,
    );
    assert.equal(measured.code, 0, measured.stderr);
    assert.match(measured.stdout, /^workers +size +ms .*bus GB\/s/m);
    assert.match(measured.stdout, /^ +2 +20 KB /m);
    assert.deepEqual(await filesOf(join(folder, "measured")), RESULT_FILES);
    const csv = await Deno.readTextFile(join(folder, "measured/result.csv"));
    assert.match(csv, /^exchange,dtype,workers,bytes,milliseconds,/);
    assert.equal(csv.trimEnd().split("\n").length, 5);

    const predicted = await runCommand(
      [
        ...["bench", "predict", "measured/result.json", "--out", "predicted", "--json"],
        ...["--gpus", "1,4", "--hosts", "1,2", "--compute", "40", "--bytes", "1MB"],
        ...["--intra-latency", "0", "--intra-bandwidth", "1", "--host-cores", "64"],
        ...["--inter", "ring", "--inter-latency", "1000", "--inter-bandwidth", "0.5"],
      ],
      folder,
    );
    assert.equal(predicted.code, 0, predicted.stderr);
    assert.deepEqual(await filesOf(join(folder, "predicted")), RESULT_FILES);
    const result = JSON.parse(predicted.stdout);
    assert.equal(result.heldOut.length, 1);
    assert.ok(result.measured.heldOutError >= 0);
    assert.match(result.used.intra.formula, /^α·\(n \+ 1\) \+ β·bytes·max\(1, n \/ 64 cores\)$/);
    assert.equal(result.used.inter.formula, "α·2(n − 1) + β·bytes·2(n − 1)/n");
    const [last] = result.predictions.slice(-1);
    assert.deepEqual([last.hosts, last.gpusPerHost, last.gpus], [2, 4, 8]);
    // Ring of 2 hosts: 2 messages of 1 ms, and 1 MB · 1 at 0.5 GB/s.
    assert.ok(Math.abs(last.interMilliseconds - 4) < 1e-9);
    assert.ok(last.stepMilliseconds > 44 && last.efficiency < 40 / 44);
  });
});

Deno.test("bench scaling with a pause shows both modes and writes files", async () => {
  await withTemporaryFolder(async (folder) => {
    const { code, stdout, stderr } = await runCommand(
      [
        ...["bench", "scaling", "--workers", "1,2", "--steps", "3", "--warmup", "1"],
        ...["--simulate-compute", "20", "--vector-bytes", "40KB", "--out", "scaling"],
      ],
      folder,
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^weak scaling[\s\S]*^strong scaling/m);
    assert.match(stdout, /^workers +batch +images\/s +efficiency .*exchange +idle +optimizer/m);
    assert.equal(stdout.match(/^ +[12] +(16|32) +\d/gm)?.length, 4, stdout);
    assert.deepEqual(await filesOf(join(folder, "scaling")), RESULT_FILES);
    const result = JSON.parse(await Deno.readTextFile(join(folder, "scaling/result.json")));
    assert.equal(result.points.length, 4);
    assert.equal(result.environment.workers, 2);
  });
});

Deno.test("bench step --profile prints ops and nodes, and writes them", async () => {
  await withTemporaryFolder(async (folder) => {
    const { code, stdout, stderr } = await runCommand(
      [
        ...["bench", "step", "--profile", "--model", "plain_cnn", "--image-size", "32"],
        ...["--batch", "4", "--steps", "2", "--threads", "1", "--out", "profile"],
      ],
      folder,
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^plain_cnn, 32 px, batch 4, 1 thread$/m);
    assert.match(stdout, /^function +nodes +call ms +wall ms +sum of nodes$/m);
    assert.match(stdout, /^forward_backward +\S*Conv2DBackpropFilter +3 +[\d.]+ +[\d.]+ % /m);
    assert.match(stdout, /^The slowest nodes:$/m);
    assert.deepEqual(await filesOf(join(folder, "profile")), [
      "nodes.csv",
      "ops.csv",
      "result.json",
    ]);
    const csv = await Deno.readTextFile(join(folder, "profile/ops.csv"));
    assert.match(
      csv,
      /^part,op,count,milliseconds,share,bytes\n(images|forward_backward|update|evaluate),/,
    );
    const nodes = await Deno.readTextFile(join(folder, "profile/nodes.csv"));
    assert.match(nodes, /^part,node,op,milliseconds,bytes,shapes\n/);
    assert.match(nodes, /float32 \[4×32×32×16\]/);
    const result = JSON.parse(await Deno.readTextFile(join(folder, "profile/result.json")));
    assert.equal(result.parts.length, 4);
    assert.equal(result.environment.workers, 1);
  });
});
