import assert from "node:assert/strict";
import { join } from "node:path";
import { NCCL_LIBRARY } from "../../src/base/cuda_libraries.ts";
import { heldGpus } from "../../src/gpus/gpu_claims.ts";
import { FAULT_VARIABLE } from "../../src/base/fault_point.ts";
import type { RunEvent } from "../../src/events/run_events.ts";
import { EVENTS_FILE } from "../../src/records/event_log.ts";
import {
  fakeGpuMachine,
  type FakeMachine,
  type FakeMachineOptions,
} from "../support/fake_cuda/machine.ts";
import type { CudaRecord } from "../support/fake_cuda/record.ts";
import { someGpus } from "../gpus/some_gpus.ts";
import { fakeCudaTest } from "../support/fake_cuda/test.ts";
import { makeImages, transformsFor } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import {
  type CommandResult,
  newestRun,
  startTrain,
  tinyConfig,
  type TrainProcess,
} from "../support/tiny_run.ts";

/** Workers, unless a run says otherwise. */
const WORKERS = 2;

/** A communicator of NCCL as one rank had it. */
interface Joined {
  readonly pid: number;
  readonly rank: number;
  /** Tells the communicator from others. */
  readonly id: string;
  /** Time of the first operation. */
  readonly begin: number;
}

/** The end of a run on a fake machine. */
interface Run extends CommandResult {
  readonly recoveries: readonly Extract<RunEvent, { type: "recovery" }>[];
  readonly losses: readonly Extract<RunEvent, { type: "workersLost" }>[];
  /** Pids by rank at the start. */
  readonly pids: readonly number[];
  /** Records of the processes that opened a GPU, by pid. */
  readonly records: ReadonlyMap<number, CudaRecord>;
  readonly communicators: readonly Joined[];
}

interface RunOptions {
  readonly machine?: FakeMachineOptions;
  readonly config?: Parameters<typeof tinyConfig>[1];
  /** Points at which workers die. */
  readonly faults?: string;
  /** Called when the process has been started. */
  readonly meanwhile?: (process: TrainProcess, machine: FakeMachine) => Promise<void>;
}

async function train(
  root: string,
  name: string,
  { machine: options, config = {}, faults = "", meanwhile }: RunOptions,
): Promise<Run> {
  const folder = join(root, name);
  await Deno.mkdir(folder);
  const { workers = WORKERS } = config;
  await using machine = await fakeGpuMachine({ gpus: workers, zeroResults: true, ...options });
  await using process = await startTrain(
    folder,
    { ...tinyConfig(join(root, "images"), { ...config, workers }), out: join(folder, "runs") },
    [],
    { ...machine.env, [FAULT_VARIABLE]: faults },
  );
  await meanwhile?.(process, machine);
  const result = await process.result;
  const lines = await Deno.readTextFile(join(await newestRun(join(folder, "runs")), EVENTS_FILE));
  const events = lines.trim().split("\n").map((line) => JSON.parse(line) as RunEvent);
  const records = await machine.records();
  const joined = events.find((event) => event.type === "joined");
  return {
    ...result,
    recoveries: events.filter((event) => event.type === "recovery"),
    losses: events.filter((event) => event.type === "workersLost"),
    pids: joined?.workers.map((worker) => (worker as { pid: number }).pid) ?? [],
    records: new Map(records.map((record) => [record.pid, record])),
    communicators: await communicatorsOf(join(machine.folder, "records")),
  };
}

/** The communicators of all ranks, in the order of their first operations. */
async function communicatorsOf(records: string): Promise<Joined[]> {
  const names = (await Array.fromAsync(Deno.readDir(records))).map(({ name }) => name);
  const joined = await Promise.all(names.map(async (name) => {
    const [, pid, rank, id] = /^nccl-(\d+)-(\d+)-(\w+)\.jsonl$/.exec(name) ?? [];
    if (id === undefined) return [];
    const [first] = (await Deno.readTextFile(join(records, name))).split("\n");
    return [{ pid: Number(pid), rank: Number(rank), id, begin: JSON.parse(first!).begin }];
  }));
  return joined.flat().sort((a, b) => a.begin - b.begin);
}

/** Asserts that a run has gone to its end, and that each worker has seen its own GPU alone, and computed there. */
function requireWhole({ code, stdout, stderr, records }: Run): void {
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^epoch (\d+)\/\1 /m);
  const workers = [...records.values()].filter(({ initCalls }) => initCalls > 0);
  for (const { devices: [device, ...others] } of workers) {
    assert.ok(device!.launches > 0);
    assert.equal(others.length, 0);
  }
}

/** The resources of its GPU that a process holds at its end. */
function heldBy(record: CudaRecord) {
  const { pinnedRanges, openStreams, devices: [device], errors } = record;
  return { pinnedRanges, openStreams, usedBytes: device!.usedBytes, errors };
}

fakeCudaTest(
  "workers on GPUs that die are replaced: where ranks sum by NCCL, through pinned memory and over NATS",
  () =>
    withTemporaryFolder(async (folder) => {
      await makeImages(join(folder, "images"), { train: 6 });
      let killed = 0;
      const [summed, pinned, staged] = await Promise.all([
        train(folder, "nccl", {
          config: { workers: 3, nccl: { bucketSize: 0 }, train: { batchSize: 9, epochs: 20 } },
          faults: "between-chunks:1:1:1,before-commit:2:0:5",
          meanwhile: async (process, { nvidiaFolder, folder: machine }) => {
            await process.seen(/^epoch +1\/20 /m);
            // The second replacement finds no NCCL.
            await Deno.remove(join(nvidiaFolder, "nccl", "lib", NCCL_LIBRARY.name));
            await process.seen(/^epoch +6\/20 /m);
            const held = await heldGpus(join(machine, "runtime", "gpus"));
            assert.equal(held.size, 3, "the run holds its GPUs through two recoveries");
            const all = await communicatorsOf(join(machine, "records"));
            killed = all.findLast(({ rank }) => rank === 1)!.pid;
            Deno.kill(killed, "SIGKILL");
          },
        }),
        train(folder, "pinned", {
          config: { exchange: "shared-memory" },
          faults: "between-chunks:1:1:1",
        }),
        train(folder, "staged", { config: { exchange: "nats" }, faults: "between-chunks:0:1:1" }),
      ]);
      for (const run of [summed, pinned, staged]) requireWhole(run);

      const [first, , third] = summed.pids;
      assert.deepEqual(summed.recoveries.map(({ ranks }) => ranks), [[1], [2], [1]]);
      assert.deepEqual(
        summed.losses.map(({ workers }) => workers.map(({ pid }) => pid)),
        [[summed.pids[1]], [third], [killed]],
      );
      // The ranks that live keep their processes, and join under an id of the new generation.
      const generations = Map.groupBy(summed.communicators, ({ id }) => id);
      assert.deepEqual(
        [...generations.values()].map((ranks) =>
          ranks.sort((a, b) => a.rank - b.rank).map(({ pid }) => pid)
        ),
        [summed.pids, [first, killed, third]],
      );
      assert.match(summed.stderr, /NCCL can't be used \(NCCL doesn't load .*shared memory$/m);
      for (const run of [summed, pinned, staged]) {
        // Who has come through all recoveries holds as much of its GPU as the replacements.
        const lost = run.losses.flatMap(({ workers }) => workers.map(({ pid }) => pid));
        const workers = [...run.records.values()]
          .filter(({ pid, initCalls }) => initCalls > 0 && !lost.includes(pid));
        assert.equal(workers.length, run.pids.length);
        const [expected, ...held] = workers.map(heldBy);
        assert.deepEqual(expected!.errors, []);
        for (const each of held) assert.deepEqual(each, expected);
      }
      assert.deepEqual(pinned.recoveries.map(({ ranks, step }) => [ranks, step]), [[[1], 1]]);
      assert.deepEqual(staged.recoveries.map(({ ranks }) => ranks), [[0]]);
    }),
);

fakeCudaTest(
  "a GPU that falls off the bus, has no memory left or hangs in NCCL costs its worker or the exchange, not the run",
  () =>
    withTemporaryFolder(async (folder) => {
      await makeImages(join(folder, "images"), { train: 6, side: 32 });
      const transforms = transformsFor(32);
      const root = join(folder, "images");
      const [gone, left, exhausted, hung] = await Promise.all([
        train(folder, "gone", {
          machine: { lost: { gpu: 1, afterLaunches: 300, then: "gone" } },
          config: { maxRestarts: 2 },
        }),
        train(folder, "left", {
          machine: {
            gpus: someGpus(2).map((gpu) => ({ ...gpu, memoryTotalBytes: 2 * 2 ** 20 })),
            memoryMebibytes: 2048,
            lost: { gpu: 0, afterLaunches: 300, then: "gone" },
          },
          config: {
            onWorkerLost: "shrink",
            data: { root, train: transforms, val: transforms },
            train: { batchSize: 9 },
          },
        }),
        train(folder, "exhausted", {
          machine: { lost: { gpu: 1, afterLaunches: 20, error: 2, then: "well" } },
        }),
        train(folder, "hung", {
          machine: { nccl: { fault: "hang", afterOperations: 8, once: true } },
          config: { nccl: { bucketSize: "20kB" }, liveness: { stallAfter: 20 } },
        }),
      ]);
      for (const run of [left, exhausted, hung]) requireWhole(run);
      // Each attempt on the card that is gone is a restart; never does anybody compute on the CPU.
      assert.equal(gone.code, 1, gone.stderr);
      assert.match(gone.stderr, /^error: Rank 1 .*on GPU 1 .*exited with code 1/m);
      assert.match(
        gone.stderr,
        /\| NVIDIA A100\S* can't be opened again: CUDA doesn't find GPU-1000/,
      );
      assert.match(gone.stderr, /gives up after 2 restarts within an hour \(maxRestarts\)$/m);
      assert.match(gone.stderr, /^ {2}before: Rank 1 on GPU 1 .*CUDA_ERROR_DEVICE_UNAVAILABLE/m);
      assert.doesNotMatch(gone.stdout, /^epoch 2/m);

      assert.match(left.losses[0]!.workers[0]!.reason, /^Rank 0 .* on GPU 0 /);
      const [shrink] = left.recoveries;
      assert.deepEqual([shrink!.policy, shrink!.ranks, shrink!.workers], ["shrink", [0], 1]);
      assert.match(
        left.stderr,
        /^Warning: With 1 worker, 9 images at once take about 2\.\d MiB .* GPU 1, .* in 2 micro-batches of at most 5/m,
      );
      assert.deepEqual(left.records.get(left.pids[1]!)!.errors, []);

      assert.match(
        exhausted.losses[0]!.workers[0]!.reason,
        /^Rank 1 on GPU 1 .*The GPU has no \d+ bytes of memory left/,
      );
      assert.deepEqual(exhausted.recoveries.map(({ ranks }) => ranks), [[1]]);

      assert.deepEqual(hung.losses, []);
      const [recovery] = hung.recoveries;
      assert.deepEqual(recovery!.ranks, []);
      assert.match(recovery!.reasons[0]!, /NCCL on rank \d didn't finish .* in 16 s/);
      // The same processes, in a communicator of their own.
      const joined = Map.groupBy(hung.communicators, ({ id }) => id);
      const pids = [...joined.values()].map((ranks) =>
        ranks.sort((a, b) => a.rank - b.rank).map(({ pid }) => pid)
      );
      assert.deepEqual(pids, [hung.pids, hung.pids]);
    }),
);
