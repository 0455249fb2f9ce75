import "../support/end_with_runner.ts";
import assert from "node:assert/strict";
import { differenceProblem, learningProblem } from "../../scripts/gpu_smoke/cluster.ts";
import { describe } from "../../scripts/gpu_smoke/checks/precisions.ts";
import { repeatProblem } from "../../scripts/gpu_smoke/checks/repeat.ts";
import { join } from "node:path";
import type { CheckContext, SmokeCheck } from "../../scripts/gpu_smoke/check.ts";
import { CHECKS } from "../../scripts/gpu_smoke/checks.ts";
import { gradientErrors, gradientLimit } from "../../scripts/gpu_smoke/checks/gradients.ts";
import { lossLimits, lossProblem } from "../../scripts/gpu_smoke/checks/losses.ts";
import { difference } from "../../scripts/gpu_smoke/compare.ts";
import { parseKernels } from "../../scripts/gpu_smoke/kernels.ts";
import { readOptions, requireGpus } from "../../scripts/gpu_smoke/main.ts";
import { isWrong, OpComparer, type OpRunner } from "../../scripts/gpu_smoke/op_comparer.ts";
import { resultLine, verdict } from "../../scripts/gpu_smoke/results.ts";
import { type CheckResult, runChecks } from "../../scripts/gpu_smoke/run_checks.ts";
import { DATA_TYPES } from "../../src/engine/binding/attributes.ts";
import { migGpu, someGpus } from "../gpus/some_gpus.ts";
import { fakeCudaProblem } from "../support/fake_cuda/build.ts";
import { fakeGpuMachine } from "../support/fake_cuda/machine.ts";
import { writeFakeNvidiaSmi } from "../support/fake_nvidia_smi.ts";
import { allGone } from "../support/processes.ts";
import { withVariables } from "../support/environment.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const withoutFake = fakeCudaProblem();
if (withoutFake !== undefined) {
  console.log(`Tests with fake GPUs are left out: ${withoutFake}`);
}

const ROOT = new URL("../..", import.meta.url).pathname;

Deno.test("difference() is relative to the largest value, and knows what isn't finite", () => {
  assert.deepEqual(difference([1, 2, 4], [1, 2, 4]), { max: 0, rms: 0, at: 0 });
  assert.deepEqual(difference([1, 3, 4], [1, 2, 4]).max, 1 / 4);
  assert.equal(difference([1, 3, 4], [1, 2, 4]).at, 1);
  assert.equal(difference([0, 3], [0, 4]).rms, 1 / 4);
  assert.equal(difference([NaN, Infinity], [NaN, Infinity]).max, 0);
  assert.equal(difference([NaN, 1], [0, 1]).max, Infinity);
  assert.equal(difference([0, 1], [NaN, 1]).max, Infinity);
  assert.equal(difference([-Infinity], [Infinity]).max, Infinity);
  assert.equal(difference([0.5], [0]).max, 0.5, "zeros are compared as they are");
  assert.equal(difference([1.5], [1], 10).max, 0.05);
  assert.throws(() => difference([1], [1, 2]), RangeError);
});

/** A runtime whose device is wrong in a way of its own; one op, `Double`. */
class WrongRunner implements OpRunner {
  tracer: OpRunner["tracer"];
  readonly tensors = new Map<number, { shape: number[]; dtype: number; values: Float32Array }>();
  readonly #onDevice: (value: number) => number;
  #next = 1;

  constructor(onDevice: (value: number) => number) {
    this.#onDevice = onDevice;
  }

  createTensor(shape: readonly number[], dtype: number, values: unknown): number {
    const floats = Float32Array.from(values as number[]);
    this.tensors.set(this.#next, { shape: [...shape], dtype, values: floats });
    return this.#next++;
  }

  executeOnHost(_name: string, _attributes: unknown, [id]: readonly number[]) {
    return this.#map(id, (value) => 2 * value);
  }

  executeOn(_device: string, _name: string, _attributes: unknown, [id]: readonly number[]) {
    return this.#map(id, this.#onDevice);
  }

  describe(id: number) {
    return this.tensors.get(id)!;
  }

  read(id: number) {
    return this.tensors.get(id)!.values;
  }

  deleteTensor(id: number) {
    assert.ok(this.tensors.delete(id));
  }

  #map(id: number, change: (value: number) => number) {
    const { shape, dtype, values } = this.tensors.get(id)!;
    return [{ id: this.createTensor(shape, dtype, values.map(change)), shape, dtype }];
  }
}

Deno.test("OpComparer finds a device that computes wrongly, or fails", () => {
  const compare = (onDevice: (value: number) => number) => {
    const runner = new WrongRunner(onDevice);
    const comparer = new OpComparer(runner, "GPU:0");
    const input = runner.createTensor([3], DATA_TYPES.TF_FLOAT, [1, 2, 3]);
    for (let time = 0; time < 2; time++) {
      const [output] = comparer.addOp("Double", [], [input]);
      assert.deepEqual(
        [...runner.read(output.id)],
        [2, 4, 6],
        "what follows sees the CPU's values",
      );
    }
    assert.equal(runner.tensors.size, 3, "the device's tensors are released");
    assert.deepEqual(comparer.ops, ["Double"]);
    assert.equal(comparer.comparisons.size, 1, "an op is compared once for each kind of inputs");
    return [...comparer.comparisons.values()][0];
  };
  assert.ok(!isWrong(compare((value) => 2 * value)));
  assert.ok(!isWrong(compare((value) => 2 * value * (1 + 1e-7))));
  assert.ok(isWrong(compare((value) => 2 * value * (1 + 1e-4))));
  assert.ok(isWrong(compare(() => 0)), "a device that computes nothing");
  assert.ok(isWrong(compare((value) => value === 3 ? NaN : 2 * value)));
  const failed = compare(() => {
    throw new Error("no kernel");
  });
  assert.ok(isWrong(failed));
  assert.equal(failed.problem, "no kernel");
});

Deno.test("gradients and losses: rounding passes, a wrong value fails", () => {
  const expected = new Map([["a", Float32Array.of(3, 4)], ["b", Float32Array.of(0)]]);
  const errors = (a: number[], b: number) =>
    gradientErrors(new Map([["a", Float32Array.from(a)], ["b", Float32Array.of(b)]]), expected);
  assert.deepEqual([...errors([3, 4], 0).values()], [0, 0]);
  assert.equal(errors([3, 4.5], 0).get("a"), 0.1);
  assert.ok(errors([3, 4], 1e-7).get("b")! < 1e-3, "noise in the place of 0");
  assert.ok(errors([3, 4], 1).get("b")! > 0.2);
  assert.equal(errors([NaN, 4], 0).get("a"), Infinity);
  assert.throws(() => gradientErrors(new Map(), expected), /no gradient of a/);
  assert.equal(gradientLimit(0), 0.01);
  assert.equal(gradientLimit(0.005), 0.05);
  assert.equal(gradientLimit(1), 0.2, "whatever rounding does");

  const wanted = [2, 1.9, 1.8, 1.7, 1.6, 1.5];
  const limits = lossLimits(wanted.map(() => 0));
  assert.equal(lossProblem(wanted, wanted, limits), undefined);
  assert.match(
    lossProblem([2, 1.95, 1.8, 1.7, 1.6, 1.5], wanted, limits)!,
    /^step 2 has a loss of/,
  );
  assert.match(lossProblem([2, NaN, 1.8, 1.7, 1.6, 1.5], wanted, limits)!, /^step 2/);
  assert.match(lossProblem([0, 0, 0, 0, 0, 0], wanted, limits)!, /^step 1/);
  assert.match(lossProblem([2, 2], [2, 2], [1, 1])!, /doesn't fall/);
  assert.deepEqual(lossLimits([0, 0.01, 0]), [0.001, 0.1, 0.1]);
});

Deno.test("parseKernels() reads the devices of each op", () => {
  const kernel = (op: string, device: string) => {
    const text = (field: number, value: string) => [
      field << 3 | 2,
      value.length,
      ...new TextEncoder().encode(value),
    ];
    const bytes = [...text(1, op), ...text(2, device), ...text(4, "shape")];
    return [1 << 3 | 2, bytes.length, ...bytes];
  };
  const list = [
    ...kernel("MatMul", "CPU"),
    ...kernel("DecodeJpeg", "CPU"),
    ...kernel("MatMul", "GPU"),
  ];
  assert.deepEqual(
    parseKernels(Uint8Array.from(list)),
    new Map([["MatMul", new Set(["CPU", "GPU"])], ["DecodeJpeg", new Set(["CPU"])]]),
  );
});

Deno.test("verdict() is good only when something passed and nothing failed", () => {
  const result = (status: CheckResult["status"], name = "a"): CheckResult => ({
    name,
    status,
    figure: "x\ny",
    seconds: 1,
  });
  assert.ok(verdict([result("pass"), result("skip")], "gpu").isGood);
  assert.deepEqual(verdict([result("skip")], "gpu"), {
    isGood: false,
    sentence: "0 passed, 0 failed, 1 skipped: nothing was checked",
  });
  assert.deepEqual(verdict([], "gpu").isGood, false);
  const { isGood, sentence } = verdict([result("pass"), result("fail", "ops")], "gpu");
  assert.ok(!isGood);
  assert.match(sentence, /1 check failed: ops$/);
  assert.match(verdict([result("pass")], "cpu").sentence, /dry run: no GPU was checked$/);
  assert.equal(resultLine(result("fail", "ops")), "FAIL  ops               1.0 s  x\\ny");
});

Deno.test("requireGpus() takes the visible GPUs, and says in a sentence why there are none", () => {
  const listing = { gpus: someGpus(2), hasProgram: true };
  assert.deepEqual(requireGpus(listing, true, undefined).map(({ index }) => index), [0, 1]);
  assert.deepEqual(requireGpus(listing, true, "1").map(({ index }) => index), [1]);
  const [mig] = requireGpus({ gpus: [migGpu(0, 2)], hasProgram: true }, true, undefined);
  assert.match(mig.uuid, /^MIG-/);
  for (
    const [given, driver, mask, message] of [
      [{ gpus: [], hasProgram: false }, false, undefined, /^This machine has no NVIDIA GPU/],
      [{ gpus: [], hasProgram: true }, true, undefined, /^This machine has no NVIDIA GPU/],
      [{ gpus: [], hasProgram: false }, true, undefined, /no nvidia-smi: install .*NVIDIA_DRIVER/],
      [{ gpus: [], hasProgram: true, problem: "gave no answer" }, true, undefined, /smi gave no/],
      [listing, true, "", /^CUDA_VISIBLE_DEVICES= shows no GPU/],
      [listing, true, "7", /^CUDA_VISIBLE_DEVICES=7 shows no GPU/],
    ] as const
  ) assert.throws(() => requireGpus(given, driver, mask), { message });
});

Deno.test("readOptions() refuses what it doesn't know", () => {
  const options = readOptions(["--only", "copies, ops"]);
  assert.ok(options !== "help");
  assert.deepEqual(options.checks.map(({ name }) => name), ["copies", "ops"]);
  assert.match(options.folder, /gpu-smoke-\d{8}-\d{6}$/);
  for (
    const [args, message] of [
      [["--devise", "cpu"], /^Unknown argument --devise: did you mean --device\?$/],
      [["--device", "tpu"], /--device is "tpu": give gpu or cpu/],
      [["--only", "ops,oops"], /--only has "oops": known are libraries, devices/],
      [["--limit-factor", "0"], /--limit-factor is "0"/],
    ] as const
  ) assert.throws(() => readOptions(args), { message });
});

Deno.test("the checks of repeated steps, workers and precisions tell right from wrong", () => {
  const trained = (losses: number[], ...state: number[]) => ({
    losses,
    state: Uint8Array.from(state),
  });
  const good = trained([2, 1], 7, 8);
  assert.equal(repeatProblem(good, trained([2, 1], 7, 8)), undefined);
  assert.equal(
    repeatProblem(good, trained([2, 1.1], 7, 8)),
    "step 2 has another loss the second time",
  );
  assert.match(
    repeatProblem(good, trained([2, 1], 7, 9))!,
    /^1 of 2 bytes of the state are others/,
  );
  // A card that computes nothing repeats itself, too.
  for (const losses of [[0, 0], [NaN, NaN]]) {
    assert.match(repeatProblem(trained(losses, 0), trained(losses, 0))!, /^the loss doesn't fall/);
  }
  assert.equal(differenceProblem(1.00005, 1), undefined);
  assert.equal(differenceProblem(1.001, 1), "the loss is 1.001, not 1");
  assert.match(differenceProblem(null, 1)!, /not finite/);
  assert.equal(learningProblem(1.2), undefined);
  for (const loss of [null, 0, 1.5]) assert.match(learningProblem(loss)!, /nothing was learned$/);
  const variants = [100, 200].map((imagesPerSecond, at) => ({
    ...{
      precision: "tf32",
      format: "channels_last",
      isCompiled: at === 1,
      imagesPerSecond,
    } as const,
  }));
  assert.equal(
    describe({ precision: "tf32", imagesPerSecond: 150 }, variants),
    "tf32 150 img/s, 0.75 times PyTorch's 200 img/s (tf32 channels_last compiled)",
  );
  assert.equal(
    describe({ precision: "float16", imagesPerSecond: 150 }, variants),
    "float16 150 img/s",
  );
  assert.equal(describe({ precision: "tf32", refusal: "old" }, variants), "tf32 refused: old");
});

Deno.test("the checks have names of their own, and limits of 20 minutes together", () => {
  assert.equal(new Set(CHECKS.map(({ name }) => name)).size, CHECKS.length);
  const limits = CHECKS.filter(({ name }) => name !== "compilation")
    .map(({ limitSeconds }) => limitSeconds);
  assert.ok(limits.reduce((sum, limit) => sum + limit) <= 1200);
});

/** The program of the checks of {@linkcode someCheck}. */
const PROGRAM = new URL("gpu_smoke_program.ts", import.meta.url);

function someCheck(name: string, more: Partial<SmokeCheck> = {}): SmokeCheck {
  return {
    name,
    title: name,
    limitSeconds: name === "hangs" ? 15 : 120,
    cards: "first",
    needsGpu: false,
    run: () => Promise.reject(new Error("runs in its own process")),
    ...more,
  };
}

function someContext(folder: string): CheckContext {
  return {
    device: "gpu",
    libraryPath: "/nowhere",
    gpus: someGpus(2),
    size: "short",
    folder,
    python: "python3",
  };
}

Deno.test("runChecks() names checks that hang, crash and fail, and makes the others", async () => {
  using _ = withVariables({ NVIDIA_TF32_OVERRIDE: undefined }); // an engine in this process sets it
  await withTemporaryFolder(async (folder) => {
    const names = ["hangs", "crashes", "throws", "says-nothing"];
    const context = someContext(folder);
    const stale = { status: "pass", figure: "of an earlier run" };
    await Deno.writeTextFile(join(folder, "says-nothing.json"), JSON.stringify(stale));
    const shown: string[] = [];
    const results = await runChecks(
      [
        ...names.map((name) => someCheck(name)),
        someCheck("one", { isExact: true }),
        someCheck("all", { cards: "all" }),
      ],
      context,
      {
        limitFactor: 1,
        signal: new AbortController().signal,
        onResult: ({ name }) => shown.push(name),
        program: PROGRAM,
      },
    );
    assert.deepEqual(shown, [...names, "one", "all"]);
    const [hung, crashed, threw, silent, one, all] = results;
    assert.equal(hung.figure, "hung: no result within 15 s");
    assert.ok(hung.seconds < 60, "the sleep of its child");
    const child = Number(await Deno.readTextFile(join(folder, "child")));
    await allGone([child]);
    assert.match(crashed.figure, /^crashed with SIGABRT/);
    assert.match(threw.figure, /^ended with code 1/);
    assert.match(await Deno.readTextFile(join(folder, "throws.log")), /no such card/);
    assert.equal(silent.figure, "ended with code 0");
    for (const { status } of [hung, crashed, threw, silent]) assert.equal(status, "fail");
    const [first, second] = context.gpus.map(({ uuid }) => uuid);
    assert.equal(one.figure, `${first} 0`);
    assert.equal(all.figure, `${first},${second} `);
    assert.deepEqual([one.status, all.status], ["pass", "pass"]);
  });
});

Deno.test("runChecks() ends the present check when it is interrupted, and leaves out the others", async () => {
  await withTemporaryFolder(async (folder) => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 1500);
    const results = await runChecks(
      ["hangs", "one"].map((name) => someCheck(name, { limitSeconds: 60 })),
      someContext(folder),
      {
        limitFactor: 1,
        signal: stop.signal,
        onResult: () => {},
        program: PROGRAM,
      },
    );
    assert.deepEqual(results.map(({ status, figure }) => [status, figure]), [
      ["fail", "interrupted"],
      ["skip", "the smoke test was interrupted before it"],
    ]);
    assert.ok(!verdict(results, "gpu").isGood);
  });
});

Deno.test("scripts/gpu_smoke.sh ends with a sentence where there is no GPU", async () => {
  await withTemporaryFolder(async (folder) => {
    await writeFakeNvidiaSmi(folder, []);
    const { code, stdout, stderr } = await smoke(withFirst(folder), []);
    assert.equal(code, 2);
    assert.equal(stdout, "");
    assert.match(
      stderr,
      /^error: This machine has no NVIDIA GPU, so there is nothing to check: .+\n$/,
    );
  });
});

Deno.test("scripts/gpu_smoke.sh --device cpu compares the CPU with the CPU", async () => {
  await withTemporaryFolder(async (folder) => {
    const out = join(folder, "out");
    await writeFakeNvidiaSmi(folder, someGpus(1)); // a dry run looks at no GPU
    const only =
      "libraries,devices,compilation,cards,copies,ops,gradients,losses,repeat,workers,nccl-steps,speed," +
      "precisions,loader";
    const args = ["--device", "cpu", "--short", "--only", only, "--out", out];
    const { code, stdout, stderr } = await smoke(withFirst(folder), args);
    const record = JSON.parse(await Deno.readTextFile(join(out, "gpu_smoke.json")));
    const results: CheckResult[] = record.results;
    const statuses = new Map(results.map(({ name, status }) => [name, status]));
    const passing = [
      "libraries",
      "cards",
      "ops",
      "gradients",
      "losses",
      "repeat",
      "workers",
      "speed",
    ];
    for (const name of [...passing, "precisions"]) assert.equal(statuses.get(name), "pass", name);
    for (const name of ["devices", "compilation", "copies", "nccl-steps"]) {
      assert.equal(statuses.get(name), "skip", name);
    }
    for (const { name, figure } of results) assert.ok(stdout.includes(figure), name);
    // Which of the loader and a tiny step is faster depends on the machine's load.
    assert.equal(code, statuses.get("loader") === "pass" ? 0 : 1, stdout + stderr);
    const figure = (name: string) => results.find((result) => result.name === name)!.figure;
    assert.match(figure("ops"), /^\d\d ops in \d{3} forms/);
    // Two implementations are compared: nothing else gives small errors that aren't 0.
    assert.match(figure("gradients"), /resnet18 \d\.\de-\d .*efficientnet_lite0 \d\.\de-\d/);
    assert.match(
      figure("repeat"),
      /^4 steps of resnet18 end with the same \d+ bytes, at a loss of \d/,
    );
    assert.match(figure("workers"), /^after 8 steps the loss is \d.*, as with one worker$/);
    assert.match(figure("precisions"), /^float32 \S+ img\/s; tf32 refused: .*only GPUs have/);
    assert.match(figure("loader"), /^the loader gives .+ times what the card takes$/);
    const text = await Deno.readTextFile(join(out, "gpu_smoke.txt"));
    if (code === 0) assert.match(text, /in a dry run: no GPU was checked\n$/);
  });
});

Deno.test({
  name:
    "scripts/gpu_smoke.sh opens the libraries of fake GPUs, copies, and fails where it computes",
  ignore: withoutFake !== undefined,
  fn: async () => {
    await using machine = await fakeGpuMachine({ gpus: 2 });
    const out = join(machine.folder, "out");
    const computing = ["cards", "ops", "gradients", "losses", "repeat", "speed"];
    const only = ["libraries", "devices", "copies", "nccl", ...computing].join();
    const args = ["--short", "--limit-factor", "5", "--only", only, "--out", out];
    const { code, stdout } = await smoke(machine.env, args);
    assert.equal(code, 1, stdout);
    const record = JSON.parse(await Deno.readTextFile(join(out, "gpu_smoke.json")));
    const results = new Map<string, CheckResult>(
      record.results.map((result: CheckResult) => [result.name, result]),
    );
    assert.equal(record.machine.gpus.length, 2);
    for (const name of ["libraries", "devices", "copies", "nccl"]) {
      assert.equal(results.get(name)!.status, "pass", results.get(name)!.figure);
    }
    // A card that computes nothing passes no comparison.
    for (const name of computing) assert.equal(results.get(name)?.status, "fail", name);
    assert.match(
      results.get("libraries")!.figure,
      /^13 open: cuda 12\.8, driver 570\.86\.10, cudart/,
    );
    assert.match(results.get("devices")!.figure, /^2 GPUs: NVIDIA A100-SXM4-40GB/);
    assert.match(results.get("nccl")!.figure, /^NCCL 2\.27\.7: 2 cards, 1\.2 MB in [\d.]+ ms \(/);
    assert.match(results.get("cards")!.figure, /^GPU 0: 65536 of 65536 values are wrong .*1 more/);
    assert.match(results.get("ops")!.figure, /\d\d ops are wrong/);
    const records = await machine.records();
    const copying = records.flatMap(({ devices }) => devices)
      .filter(({ launches, copiesUp }) => launches === 0 && copiesUp > 10);
    const bytes = 18 * 4 * 2 ** 20;
    assert.deepEqual(
      copying.map(({ copiesUp, copiesDown, bytesUp, bytesDown }) => [
        copiesUp,
        copiesDown,
        bytesUp,
        bytesDown,
      ]),
      [[18, 18, bytes, bytes]],
      "what the figure of the copies is about went over the bus",
    );
    for (const { devices } of records) {
      assert.ok(devices.filter(({ hasContext }) => hasContext).length <= 1, "one card per process");
    }
  },
});

Deno.test({
  name: "scripts/gpu_smoke.sh names a library that is missing",
  ignore: withoutFake !== undefined,
  fn: async () => {
    await using machine = await fakeGpuMachine({ without: ["libcudnn.so.9"] });
    const out = join(machine.folder, "out");
    const args = ["--limit-factor", "5", "--only", "libraries,cards", "--out", out];
    const { code, stdout } = await smoke(machine.env, args);
    assert.equal(code, 1);
    assert.match(stdout, /^FAIL {2}libraries .*libcudnn\.so\.9: /m);
    assert.match(stdout, /^FAIL {2}cards .*libcudnn\.so\.9/m);
  },
});

/** An environment with a folder first on `PATH`. */
function withFirst(folder: string): Record<string, string> {
  return { PATH: `${folder}:${Deno.env.get("PATH")}` };
}

/** Runs the script. */
async function smoke(env: Readonly<Record<string, string>>, args: readonly string[]) {
  const { code, stdout, stderr } = await new Deno.Command(join(ROOT, "scripts/gpu_smoke.sh"), {
    args: [...args],
    env: { ...env, NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, stdout: text, stderr: errors };
}
