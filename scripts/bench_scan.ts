/**
 * Time and peak memory of a large image folder: made of links to a few small JPEGs, then scanned, looked at, recorded
 * and compared, as a run does at its start and when it is resumed:
 * `deno run -A scripts/bench_scan.ts --images 1300000 --classes 1000 [--folder DIR]`. Each part is a process of its own.
 *
 * With `--folder`, the images are made where DIR doesn't have them yet, and stay there.
 *
 * @module
 */
import { join } from "node:path";
import { parseArgs } from "@std/cli/parse-args";
import { Image } from "imagescript";
import { checkFiles } from "../src/data/datasets/check_files.ts";
import { compareFiles, readFileRecord, writeFileRecord } from "../src/data/datasets/file_record.ts";
import { stringify } from "@std/yaml";
import { type ConfigInput, decidedConfigSchema } from "../src/config/schema.ts";
import { RunPlan } from "../src/train/run_plan.ts";
import { scanImageFolder } from "../src/data/datasets/image_folder.ts";
import { succeeds } from "./children.ts";

/** Links to one file: ext4 takes 65,000. */
const LINKS = 50_000;
/** Training images for each validation image, as in ImageNet. */
const TRAIN_PER_VAL = 25;

/** Makes `train/` and `val/` with names as in ImageNet. */
async function makeFolder(root: string, images: number, classes: number): Promise<void> {
  let source = "", links = LINKS, made = 0;
  for (let label = 0; label < classes; label++) {
    const name = `n${String(1_440_764 + 1009 * label).padStart(8, "0")}`;
    const end = Math.floor(images * (label + 1) / classes);
    for (const side of ["train", "val"]) {
      Deno.mkdirSync(join(root, side, name), { recursive: true });
    }
    for (; made < end; made++) {
      if (links === LINKS) {
        source = join(root, `${made}.source`);
        Deno.writeFileSync(
          source,
          await new Image(16, 16).fill(made * 2654435761 >>> 0).encodeJPEG(),
        );
        links = 0;
      }
      const isVal = made % (TRAIN_PER_VAL + 1) === TRAIN_PER_VAL;
      const file = isVal ? `ILSVRC2012_val_${String(made).padStart(8, "0")}` : `${name}_${made}`;
      Deno.linkSync(source, join(root, isVal ? "val" : "train", name, `${file}.JPEG`));
      links++;
    }
  }
}

/** A part prepares, and returns what is measured. */
type Part = (
  root: string,
  folder: string,
) => (() => Promise<unknown>) | Promise<() => Promise<unknown>>;

const PARTS: Record<string, Part> = {
  scan: (root) => () => scanImageFolder(root),
  "look at the first bytes": async (root) => {
    const set = await scanImageFolder(root);
    return () => checkFiles(set, { onError: "fail" });
  },
  "write the record": async (root, folder) => {
    const { files } = await scanImageFolder(root);
    return () => writeFileRecord(folder, root, files!);
  },
  "compare with the record": async (root, folder) => {
    const { files } = await scanImageFolder(root);
    return async () => await compareFiles((await readFileRecord(folder))!, root, files!);
  },
  "plan an epoch": async (root) => {
    const { train, val } = await scanImageFolder(root);
    const lengths = { train: { length: train.length }, val: { length: val.length } };
    const plan = new RunPlan(decidedConfigSchema.parse(configOf(root, "runs")), lengths);
    return () => Promise.resolve(plan.training.steps(1, { rank: 0, worldSize: 2 }));
  },
};

const mb = (bytes: number) => (bytes / 1e6).toFixed(0);

async function runPart(name: string, root: string, folder: string): Promise<void> {
  const action = await PARTS[name](root, folder);
  const before = Deno.memoryUsage().rss;
  const start = performance.now(), cpu = await coreSeconds(Deno.pid);
  await action();
  const seconds = (performance.now() - start) / 1000;
  const cores = await coreSeconds(Deno.pid) - cpu;
  const { VmHWM } = await memoryOf(Deno.pid);
  console.log(
    `| ${name} | ${seconds.toFixed(1)} | ${cores.toFixed(1)} | ${mb(before)} | ${mb(VmHWM)} |`,
  );
}

/** Seconds that a process has had a core (proc(5), `stat`: fields 14 and 15, in hundredths). */
async function coreSeconds(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const [user, system] = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 13);
  return (Number(user) + Number(system)) / 100;
}

/** A process's numbers of bytes, such as `VmHWM`. */
async function memoryOf(pid: number): Promise<Record<string, number>> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const found = status.matchAll(/^(\w+):\s+(\d+) kB$/gm);
  return Object.fromEntries(Array.from(found, ([, name, kb]) => [name, Number(kb) * 1024]));
}

function configOf(root: string, out: string): ConfigInput {
  const transforms = [{ CenterCrop: 16 }, { Normalize: { mean: [0, 0, 0], std: [1, 1, 1] } }];
  return {
    name: "scan",
    out,
    workers: 2,
    model: { name: "plain_cnn", weights: "none" },
    data: { root, train: transforms, val: transforms },
    train: { epochs: 1, batchSize: 256, lr: 0.01 },
  };
}

/** Lines of a file that contain a text. */
async function linesOf(path: string, text = "{"): Promise<number> {
  const lines = await Deno.readTextFile(path).catch(() => "");
  return lines.split("\n").filter((line) => line.includes(text)).length;
}

/** Starts a run, measures the time until its workers are there and their memory in the first steps, and ends it. */
async function startRun(name: string, work: string, args: readonly string[]): Promise<void> {
  const start = performance.now();
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--quiet",
      new URL("../src/cli.ts", import.meta.url).pathname,
      "train",
      ...args,
    ],
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  const metrics = join(work, "runs/latest/metrics.jsonl");
  const joins = () => linesOf(join(work, "runs/latest/events.jsonl"), '"joined"');
  const [steps, joined] = [await linesOf(metrics), await joins()];
  let over = false, seconds = 0, cores = 0;
  process.status.then(() => over = true);
  while (!over && await linesOf(metrics) <= steps) {
    if (seconds === 0 && await joins() > joined) {
      seconds = (performance.now() - start) / 1000;
      cores = await coreSeconds(process.pid);
    }
    await new Promise((done) => setTimeout(done, 100));
  }
  const children = await Deno.readTextFile(`/proc/${process.pid}/task/${process.pid}/children`);
  for (const [index, pid] of [process.pid, ...children.trim().split(" ").map(Number)].entries()) {
    const line = await Deno.readTextFile(`/proc/${pid}/cmdline`);
    const who = index === 0 ? "coordinator" : /worker\.ts/.test(line) ? "worker" : undefined;
    if (!who) continue;
    const { VmRSS, VmHWM, RssAnon, RssShmem } = await memoryOf(pid);
    const [clock, core] = index === 0 ? [seconds.toFixed(1), cores.toFixed(1)] : ["", ""];
    const memory = `${mb(VmRSS)} (${mb(RssAnon)} own, ${mb(RssShmem)} shared)`;
    console.log(`| ${name}, ${who} | ${clock} | ${core} | ${memory} | ${mb(VmHWM)} |`);
  }
  process.kill("SIGINT");
  await process.status;
}

const args = parseArgs(Deno.args, { string: ["images", "classes", "folder", "part"] });
const [made, own] = args._;
if (args.part !== undefined) await runPart(String(args.part), made, own);
else {
  const work = await Deno.makeTempDir({ prefix: "lockstep-bench-scan-" });
  try {
    const root = String(args.folder ?? join(work, "images"));
    await Deno.mkdir(root, { recursive: true });
    if (Array.from(Deno.readDirSync(root)).length === 0) {
      await makeFolder(root, Number(args.images ?? 1_300_000), Number(args.classes ?? 1000));
    }
    console.log("| part | seconds | of a core | MB before | MB at most |");
    console.log("| --- | --- | --- | --- | --- |");
    for (const name of Object.keys(PARTS)) {
      const command = ["run", "-A", import.meta.filename!, "--part", name, root, work];
      const success = await succeeds(Deno.execPath(), { args: command });
      if (!success) console.log(`| ${name} | failed | | | |`);
    }
    console.log(
      "\n| process | seconds until the workers are there | of a core | MB in the first steps | MB at most |",
    );
    console.log("| --- | --- | --- | --- | --- |");
    const config = join(work, "config.yaml");
    await Deno.writeTextFile(config, stringify(configOf(root, join(work, "runs"))));
    await startRun("start", work, ["--config", config]);
    await startRun("resume", work, ["--resume", join(work, "runs/latest")]);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}
