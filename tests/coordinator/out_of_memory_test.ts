import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { train } from "../../mod.ts";
import { validateConfig } from "../../src/config/load.ts";
import { explainExit } from "../../src/cluster/lost_worker.ts";
import { readMemoryState } from "../../src/engine/memory_limits.ts";
import { readHistory } from "../../src/records/history.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import {
  commandLine,
  type CommandResult,
  lastState,
  newestRun,
  startProcess,
} from "../support/tiny_run.ts";
import { moduleConfig, writeModules } from "../support/user_modules.ts";

const GROUPS = "/sys/fs/cgroup/memory";
const GIB = 2 ** 30;

/** Each worker takes memory without end in its second epoch, as long as the file is there. */
const HOG = `
const kept = [];
let reads = 0;
const isHungry = Deno.mainModule.endsWith("train_worker.ts");
const image = (index) => ({ width: 12, height: 12, data: new Uint8Array(432).fill(70 * (index % 3)) });
const samples = (length) => ({
  length,
  sample: (index, { split }) => {
    if (split === "train" && isHungry && ++reads > 24) {
      try {
        const how = Deno.readTextFileSync(new URL("./hungry", import.meta.url));
        for (;;) {
          kept.push(new Uint8Array(2 ** 28));
          if (how === "touch") kept.at(-1).fill(1);
        }
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    return { image: image(index), label: index % 3 };
  },
});
export const createDataset = () => ({
  classes: ["dark", "middle", "light"], train: samples(21), val: samples(9), cheap: true,
});`;

/** Starts a run under a limit that a shell sets, and sees that it ends as it must and can go on. */
async function trainUnder(
  limit: string,
  how: "touch" | "reserve",
  check: (result: CommandResult) => void,
): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    await writeModules(folder, { data: HOG });
    await Deno.writeTextFile(join(folder, "hungry"), how);
    const own = moduleConfig(folder, { workers: 1, train: { epochs: 3, batchSize: 7 } });
    const config = { ...own, onWorkerLost: "fail" as const };
    const path = join(folder, "config.yaml");
    await Deno.writeTextFile(path, stringify(config));
    const shell = ["sh", "-c", `${limit} && exec "$@"`, "sh"];
    const command = commandLine(["train", "--config", path]);
    await using process = startProcess([...shell, ...command], { cwd: folder });
    const result = await process.result;
    assert.equal(result.code, 1, result.stdout + result.stderr);
    check(result);
    assert.doesNotMatch(result.stderr, /stack trace|\[0x|^ {4}at /m);
    const run = await newestRun(join(folder, "runs"));
    assert.equal((await lastState(run)).epoch, 1, "the checkpoint of the last epoch stays");
    assert.equal((await readHistory(run)).epochs.length, 1);
    await Deno.remove(join(folder, "hungry"));
    const { history } = await train(validateConfig(config), { resume: run });
    assert.equal(history.epochs.length, 3);
  });
}

/** Runs a shell's command; Deno itself may write nothing in /sys. */
async function succeeds(command: string): Promise<boolean> {
  const { success } = await new Deno.Command("sh", { args: ["-c", command], stderr: "null" })
    .output();
  return success;
}

/** Makes a control group of so much memory; undefined where there is no right to. */
async function makeGroup(bytes: number): Promise<string | undefined> {
  const group = join(GROUPS, `lockstep-test-${crypto.randomUUID()}`);
  if (await succeeds(`mkdir ${group} && echo ${bytes} > ${group}/memory.limit_in_bytes`)) {
    return group;
  }
  await succeeds(`rmdir ${group}`);
  return undefined;
}

const group = Deno.build.os === "linux" ? await makeGroup(1.5 * GIB) : undefined;

Deno.test(
  "a worker that the kernel ends in a control group costs nothing, and memory and limit are named",
  {
    ignore: group === undefined, // no right to make a control group of the first version here
  },
  async () => {
    try {
      // The kernel takes the largest process: here always the worker, which fills a GiB.
      await trainUnder(`echo $$ > ${group}/cgroup.procs`, "touch", ({ stderr }) => {
        assert.match(
          stderr,
          /Rank 0 \(pid \d+\) was killed by SIGKILL \(by the kernel, as memory ran out; the limit is 1\.5 GiB for its control group: use a smaller batch or fewer workers, or raise the limit\)/,
        );
      });
    } finally {
      assert.ok(await succeeds(`rmdir ${group}`));
    }
  },
);

Deno.test("a worker under ulimit -v costs nothing, and memory and limit are named", {
  ignore: Deno.build.os !== "linux",
}, () =>
  // V8 reserves tens of GiB of addresses; the worker asks for more than the rest.
  trainUnder(`ulimit -v ${64 * 2 ** 20}`, "reserve", ({ stderr }) => {
    assert.match(
      stderr,
      /Rank 0 failed: Memory ran out while "train#\d+" was read \(Array buffer allocation failed\); the limit is .*64\.0 GiB of addresses \(ulimit -v\): use a smaller batch or fewer workers, or raise the limit$/m,
    );
  }));

Deno.test("readMemoryState() reads both versions of control groups, the narrowest limit, and ulimit", () => {
  const limits = (bytes: string) =>
    `Limit                     Soft Limit           Hard Limit           Units\nMax address space         ${bytes}            unlimited            bytes\n`;
  const state = (files: Record<string, string>) => readMemoryState((path) => files[path]);
  assert.deepEqual(
    state({
      "/proc/self/cgroup": "5:cpu:/\n4:memory:/a/b\n0::/\n",
      "/proc/self/limits": limits("unlimited"),
      "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
      "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": `${2 * GIB}\n`,
      "/sys/fs/cgroup/memory/a/b/memory.oom_control":
        "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    }),
    { limits: ["2.0 GiB for its control group"], kills: 3 },
  );
  assert.deepEqual(
    state({
      "/proc/self/cgroup": "0::/job\n",
      "/proc/self/limits": limits(String(3 * GIB)),
      "/sys/fs/cgroup/job/memory.max": "max\n",
      "/sys/fs/cgroup/memory.max": `${GIB}\n`,
      "/sys/fs/cgroup/job/memory.events": "low 0\noom 1\noom_kill 1\n",
    }),
    { limits: ["1.0 GiB for its control group", "3.0 GiB of addresses (ulimit -v)"], kills: 1 },
  );
  assert.deepEqual(state({}), { limits: [], kills: 0 });
  const memory = { limits: ["1.0 GiB for its control group"], killed: false };
  assert.match(
    explainExit({ signal: "SIGKILL", code: 137, memory }),
    /\(by the kernel, if memory ran out; the limit is 1\.0 GiB for its control group: use/,
  );
});
