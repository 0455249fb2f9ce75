import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { GpuWatch, parseGpuUse, readGpuUse } from "../../src/coordinator/listeners/gpu_use.ts";
import { withoutWaiting } from "../support/at_once.ts";
import { eventually } from "../support/eventually.ts";
import { makeImages } from "../support/images.ts";
import { allGone } from "../support/processes.ts";
import { runCommand, tinyConfig } from "../support/tiny_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

// As `nvidia-smi --query-gpu=… --format=csv,noheader,nounits` prints it.
const TWO = `0, NVIDIA H100 80GB HBM3, 87, 61440, 81559, 54
1, NVIDIA H100 80GB HBM3, 0, 3, 81559, 31
`;

Deno.test("parseGpuUse() reads what nvidia-smi prints", () => {
  assert.deepEqual(parseGpuUse(TWO), [
    {
      index: 0,
      name: "NVIDIA H100 80GB HBM3",
      utilization: 0.87,
      memoryUsedBytes: 61440 * 2 ** 20,
      memoryTotalBytes: 81559 * 2 ** 20,
      temperature: 54,
    },
    {
      index: 1,
      name: "NVIDIA H100 80GB HBM3",
      utilization: 0,
      memoryUsedBytes: 3 * 2 ** 20,
      memoryTotalBytes: 81559 * 2 ** 20,
      temperature: 31,
    },
  ]);
});

Deno.test("parseGpuUse() leaves out what the driver doesn't know, and lines that are none", () => {
  const text = "0, Orin (nvgpu), [N/A], [Not Supported], [N/A], 40\nNo devices were found\n";
  assert.deepEqual(parseGpuUse(text), [{ index: 0, name: "Orin (nvgpu)", temperature: 40 }]);
  assert.deepEqual(parseGpuUse(""), []);
});

Deno.test("readGpuUse() asks the program on PATH for what it reads, and takes a broken one for no GPU", () =>
  withTemporaryFolder(async (folder) => {
    const program = join(folder, "nvidia-smi");
    const script = (body: string) =>
      Deno.writeTextFile(program, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    assert.deepEqual(await readGpuUse({ program }), undefined);
    await script(`echo "$@" > '${folder}/asked'\ncat <<'END'\n${TWO}END`);
    assert.equal((await readGpuUse({ program }))?.length, 2);
    assert.equal(
      (await Deno.readTextFile(join(folder, "asked"))).trim(),
      "--query-gpu=index,name,utilization.gpu,memory.used,memory.total,temperature.gpu " +
        "--format=csv,noheader,nounits",
    );
    await script(
      "echo 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9",
    );
    assert.deepEqual(await readGpuUse({ program }), []);
  }));

Deno.test("parseGpuUse() leaves out what can't be: control characters, impossible numbers, endless lists", () => {
  const row = (index: string, name: string) => `${index}, ${name}, 900, 1e400, 5, 99999`;
  assert.deepEqual(parseGpuUse(row("0", "\x1b[31mH\u0000100\u009b")), [
    { index: 0, name: "[31mH100", memoryTotalBytes: 5 * 2 ** 20 },
  ]);
  assert.deepEqual(parseGpuUse(row("99999999999999999999", "H100")), []);
  assert.deepEqual(parseGpuUse('"0, \n\0\xff;;;"\n\t'), []);
  const many = Array.from({ length: 1000 }, (_, index) => row(String(index), "x".repeat(5000)));
  const parsed = parseGpuUse(many.join("\n"));
  assert.deepEqual([parsed.length, parsed[0].name.length], [256, 100]);
});

const BAD_PROGRAMS: Record<string, string> = {
  "hangs and ignores SIGTERM":
    "trap '' TERM HUP INT\nsleep 300 & echo $! $$ > pids; wait; sleep 300",
  "ends, but leaves a child that holds the pipe": "sleep 300 & echo $! > pids; exit 0",
  "floods": "echo $$ > pids; while :; do echo 'garbage, garbage, garbage'; done",
  "prints zeros without end": "echo $$ > pids; exec cat /dev/zero",
};
for (const [what, body] of Object.entries(BAD_PROGRAMS)) {
  Deno.test(`readGpuUse() waits no longer than its limit for a program that ${what}`, () =>
    withTemporaryFolder(async (folder) => {
      const program = join(folder, "nvidia-smi");
      await Deno.writeTextFile(program, `#!/bin/sh\ncd '${folder}'\n${body}\n`, { mode: 0o755 });
      const use = await withoutWaiting(300, () => readGpuUse({ program, timeoutMs: 5000 }));
      assert.deepEqual(use, []);
      const pids = (await Deno.readTextFile(join(folder, "pids"))).trim().split(/\s+/).map(Number);
      await allGone(pids);
    }));
}

Deno.test("GpuWatch begins and ends at once whatever nvidia-smi does, and takes its process along", () =>
  withTemporaryFolder(async (folder) => {
    const program = join(folder, "nvidia-smi");
    const pids = join(folder, "pids");
    const body = `trap '' TERM\necho $$ > '${pids}'\nsleep 300`;
    await Deno.writeTextFile(program, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    using watch = await withoutWaiting(300, () => GpuWatch.start({ program }));
    assert.deepEqual(watch.use, []);
    let pid = NaN;
    await eventually(async () => {
      pid = parseInt(await Deno.readTextFile(pids).catch(() => ""));
      assert.ok(pid > 0);
    });
    await withoutWaiting(300, () => watch[Symbol.dispose]());
    await allGone([pid]);
  }));

Deno.test("a run neither waits nor fails for an nvidia-smi that hangs", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const bin = join(folder, "bin");
    const pids = join(folder, "pids");
    await Deno.mkdir(bin);
    const body = `#!/bin/sh\ntrap '' TERM INT HUP\necho $$ >> '${pids}'\nsleep 300\n`;
    await Deno.writeTextFile(join(bin, "nvidia-smi"), body, { mode: 0o755 });
    const recipe = join(folder, "config.yaml");
    await Deno.writeTextFile(recipe, stringify(tinyConfig(root, { train: { epochs: 1 } })));
    const env = { PATH: `${bin}:${Deno.env.get("PATH")}` };
    const { code, stdout, stderr } = await runCommand(["train", "-c", recipe], folder, env);
    assert.equal(code, 0, stderr);
    assert.match(stdout + stderr, /epoch +1\/1/);
    const asked = (await Deno.readTextFile(pids)).trim().split("\n").map(Number);
    await allGone(asked);
  }));
