import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { migGpu, someGpu } from "../gpus/some_gpus.ts";
import { writeFakeNvidiaSmi } from "../support/fake_nvidia_smi.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runDeno } from "../support/run_deno.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

async function lockstep(args: string[], env: Record<string, string>) {
  return await runDeno(["run", "--no-prompt", "--allow-all", "src/cli.ts", ...args], {
    cwd: ROOT,
    env: { LOCKSTEP_LIBTENSORFLOW: "", ...env },
  });
}

Deno.test("runSetup() refuses an unknown part with exit code 2 and the nearest one", () =>
  withTemporaryFolder(async (cache) => {
    const { code, stderr } = await lockstep(["setup", "nats-servr"], { LOCKSTEP_CACHE: cache });
    assert.equal(code, 2);
    assert.match(stderr, /^error: Unknown part "nats-servr": did you mean nats-server\?$/m);
  }));

Deno.test("runSetup() lists what is there with its path", () =>
  withTemporaryFolder(async (cache) => {
    const library = join(cache, "library");
    await Deno.writeTextFile(library, "");
    const { code, stdout } = await lockstep(["setup", "libtensorflow"], {
      LOCKSTEP_CACHE: cache,
      LOCKSTEP_LIBTENSORFLOW: library,
    });
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^libtensorflow +${library}$`, "m"));
  }));

Deno.test("runDoctor() names the cure of everything that is missing and exits with 1", () =>
  withTemporaryFolder(async (cache) => {
    const { code, stdout } = await lockstep(["doctor"], {
      LOCKSTEP_CACHE: cache,
      LOCKSTEP_LIBTENSORFLOW: join(cache, "nothing"),
      PATH: cache,
    });
    assert.equal(code, 1);
    for (const name of ["libtensorflow", "one op", "nats-server", "photos", "weights"]) {
      assert.match(stdout, new RegExp(`^✗ ${name}.*\\n(?:.*\\n)*?  cure: .*deno task setup`, "m"));
    }
    assert.match(stdout, /^5 of the checks failed$/m);
  }));

Deno.test("runDoctor() ticks off a machine that is set up", async () => {
  const { code, stdout } = await lockstep(["doctor"], {
    LOCKSTEP_LIBTENSORFLOW: Deno.env.get("LOCKSTEP_LIBTENSORFLOW") ?? "",
  });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^✓ libtensorflow: TensorFlow 2\.\d+\.\d+ at .*; devices CPU:0/m);
  assert.match(stdout, /^✓ nats-server: .* a message went round in/m);
  assert.match(stdout, /^All is well$/m);
});

Deno.test("runDoctor() lists GPUs, what is wrong with them, who uses them and what the mask shows", () =>
  withTemporaryFolder(async (folder) => {
    const gpus = [
      someGpu(0, { processes: [{ pid: 4711 }] }),
      someGpu(1, { name: "NVIDIA B200", computeCapability: 10 }),
      migGpu(2, 1),
    ];
    const topology = "\u001b[4m\tGPU0\tGPU1\u001b[0m\nGPU0\t X \tNV12";
    await writeFakeNvidiaSmi(folder, gpus, { topology });
    const env = {
      LOCKSTEP_LIBTENSORFLOW: join(folder, "nothing"),
      LOCKSTEP_CACHE: folder,
      PATH: `${folder}:${Deno.env.get("PATH")}`,
      CUDA_VISIBLE_DEVICES: "2,9,0",
    };
    const { stdout } = await lockstep(["doctor"], env);
    const lines = stdout.split("\n").slice(2, 11);
    assert.deepEqual(lines.slice(0, 4), [
      "✓ GPU 0, NVIDIA A100-SXM4-40GB (GPU-00000000-aaaa-bbbb-cccc-dddddddddddd): compute capability 8.0, " +
      "driver 550.54.15, memory 0.0 of 40.0 GiB in use, used by process 4711",
      "✗ GPU 1, NVIDIA B200 (GPU-10000000-aaaa-bbbb-cccc-dddddddddddd): compute capability 10.0, " +
      "driver 550.54.15, memory 0.0 of 40.0 GiB in use, used by nobody, all kernels are compiled at the first use",
      "  cure: The driver 550.54.15 is too old for GPU 1, NVIDIA B200: this GPU needs 570.26 or newer; update the " +
      "driver, or set --device cpu",
      "✓ GPU 2, NVIDIA A100-SXM4-40GB (GPU-20000000-aaaa-bbbb-cccc-dddddddddddd): compute capability 8.0, driver " +
      "550.54.15, memory 0.0 of 40.0 GiB in use, MIG instances 1g.5gb MIG-20000000-1111-2222-3333-444444444444, " +
      "used by nobody",
    ]);
    assert.deepEqual(lines.slice(4, 7), [
      '  CUDA_VISIBLE_DEVICES=2,9,0 shows GPU 2, MIG 1g.5gb; "9" is no device of this machine and hides all after it',
      "          GPU0    GPU1",
      "  GPU0     X      NV12",
    ]);
  }));

Deno.test("runDoctor() says why nvidia-smi lists no GPU", () =>
  withTemporaryFolder(async (folder) => {
    await writeFakeNvidiaSmi(folder, [], { fault: "no driver" });
    const env = { LOCKSTEP_CACHE: folder, PATH: `${folder}:${Deno.env.get("PATH")}` };
    const { code, stdout } = await lockstep(["doctor"], env);
    assert.equal(code, 1);
    assert.match(
      stdout,
      /^✗ GPUs: nvidia-smi exited with code 9: NVIDIA-SMI has failed .*\n {2}cure: .*driver/m,
    );
  }));
