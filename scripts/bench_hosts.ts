/**
 * All-reduce and training over hosts in namespaces of one machine, over cables shaped to a rate, beside the model of the
 * chain and PyTorch's gloo over the same cables. Needs root, or a system where users may make namespaces.
 *
 * Usage: deno run -A scripts/bench_hosts.ts [--measure allreduce,train] [--hosts 2,3,4] [--ranks 1,2]
 *   [--rates 100,1000] [--sizes 44700000] [--steps N] [--warmup N] [--rounds N] [--dtype float32] [--plain]
 *   [--batch N] [--image-size PIXELS] [--python PATH] [--out FILE.json]
 *
 * Prints tables in markdown. Without `--python`, gloo is left out; with `--plain`, all-reduce goes without TLS.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { median } from "../src/base/statistics.ts";
import type { GradientDtype } from "../src/protocol/messages.ts";
import { cannotUseNamespaces, type Hosts, startHosts } from "../tests/support/namespaces.ts";
import { measureRate } from "../tests/support/tcp_rate.ts";
import { allReduceByGloo, allReduceOverHosts, type Measured } from "./bench_hosts/all_reduce.ts";
import { chainMilliseconds, ringMilliseconds } from "./bench_hosts/chain_model.ts";
import { markdownTable } from "./bench_hosts/table.ts";
import { trainByPeers, trainOverHosts } from "./bench_hosts/training.ts";

/** Payload of a full TCP segment with timestamps, and its bytes on the cable, for which the shaper counts it. */
const [SEGMENT_BYTES, FRAME_BYTES] = [1448, 1514];
/** The transfer of the measurement of a cable takes about this long. */
const RATE_SECONDS = 1;

/** The options, and their values unless given. */
const DEFAULTS = {
  ...{ measure: "allreduce,train", hosts: "2,3,4", ranks: "1,2", rates: "100,1000" },
  ...{ sizes: "44700000", dtype: "float32", steps: "5", warmup: "2", rounds: "1" },
  ...{ batch: "16", "image-size": "224", python: "", out: "" },
};

const flags = parseArgs(Deno.args, {
  string: Object.keys(DEFAULTS),
  boolean: ["plain"],
  unknown: (arg) => fail(`Unknown argument ${arg}: see the head of this script`),
});
const text = (name: keyof typeof DEFAULTS) => String(flags[name] ?? DEFAULTS[name]);
const numbers = (name: keyof typeof DEFAULTS) =>
  text(name).split(",").map((part) => {
    const value = Number(part);
    return Number.isSafeInteger(value) && value > 0 ? value : fail(`--${name} is ${text(name)}`);
  });
const number = (name: keyof typeof DEFAULTS) => numbers(name)[0]!;
const python = text("python");
const calls = { steps: number("steps"), warmup: number("warmup") };
const training = {
  ...{ model: "resnet18", imageSize: number("image-size"), batch: number("batch") } as const,
  steps: calls.steps,
};

function fail(message: string): never {
  console.error(`error: ${message}`);
  Deno.exit(2);
}

/** Some hosts with as many ranks each, over cables of a rate. */
interface Place {
  readonly rateMbit: number;
  readonly hosts: number;
  readonly ranksEach: number;
  /** By the rate: the payload of full TCP segments. */
  readonly bytesPerSecond: number;
  /** Of one TCP connection over the same cables, the slower of the two directions at the same time. */
  readonly tcpBytesPerSecond: number;
}

/** All-reduces of one size, by round. */
interface AllReduceRow extends Place {
  readonly bytes: number;
  readonly boundMilliseconds: number;
  readonly ringMilliseconds: number;
  readonly lockstep: readonly Measured[];
  readonly gloo: readonly Measured[];
}

/** Images per second of all ranks together, by round. */
interface TrainingRow extends Place {
  readonly lockstep: readonly number[];
  readonly ddp: readonly number[];
}

const PLACE_HEAD = ["Mbit/s", "hosts", "ranks each", "TCP, MB/s"];
const shown = (value: number, digits = 0) => Number.isNaN(value) ? "" : value.toFixed(digits);
const showPlace = ({ rateMbit, hosts, ranksEach, tcpBytesPerSecond }: Place) => [
  ...[rateMbit, hosts, ranksEach].map(String),
  shown(tcpBytesPerSecond / 1e6, 1),
];

/** The rate of the cables, by a plain TCP connection in each direction at the same time. */
async function rateOf(hosts: Hosts, rateMbit: number): Promise<number> {
  const bytes = RATE_SECONDS * rateMbit * 1e6 / 8;
  const ways = [[0, 1], [1, 0]] as const;
  const both = await Promise.all(ways.map(([from, to]) => measureRate(hosts, from, to, bytes)));
  return Math.min(...both.map(({ bytesPerSecond }) => bytesPerSecond));
}

async function measureAllReduce(hosts: Hosts, place: Place): Promise<AllReduceRow[]> {
  const ranks = hosts.hosts.map(() => place.ranksEach);
  const sizes = numbers("sizes");
  const own: Measured[][] = [], theirs: Measured[][] = [];
  for (let round = 0; round < number("rounds"); round++) {
    const settings = { ...calls, tls: !flags.plain, dtype: text("dtype") as GradientDtype };
    own.push(await allReduceOverHosts(hosts, ranks, sizes, settings));
    if (!python) continue;
    theirs.push([]);
    for (const bytes of sizes) {
      theirs.at(-1)!.push(await allReduceByGloo(hosts, ranks, bytes, { ...calls, python }));
    }
  }
  return sizes.map((bytes, index) => {
    const { bytesPerSecond, ranksEach } = place;
    const shape = { hosts: place.hosts, ranks: place.hosts * ranksEach, bytes, bytesPerSecond };
    return {
      ...{ ...place, bytes },
      boundMilliseconds: chainMilliseconds(shape),
      ringMilliseconds: ringMilliseconds(shape),
      lockstep: own.map((measured) => measured[index]!),
      gloo: theirs.map((measured) => measured[index]!),
    };
  });
}

const ALL_REDUCE_HEAD = [
  ...[...PLACE_HEAD, "MB", "chain, ms", "Lockstep, ms", "of the chain", "gloo, ms", "ring, ms"],
  ...["gloo / Lockstep", "core-s per GB", "servers'", "gloo's"],
];

function showAllReduce(row: AllReduceRow): string[] {
  const { bytes, boundMilliseconds, lockstep, gloo } = row;
  const time = (all: readonly Measured[]) => median(all.map(({ milliseconds }) => milliseconds));
  const cost = (all: readonly Measured[]) =>
    median(all.map(({ processorSecondsPerGB }) => processorSecondsPerGB));
  const ratios = gloo.map(({ milliseconds }, at) => milliseconds / lockstep[at]!.milliseconds);
  return [
    ...showPlace(row),
    String(bytes / 1e6),
    shown(boundMilliseconds),
    shown(time(lockstep)),
    shown(time(lockstep) / boundMilliseconds, 2),
    shown(time(gloo)),
    shown(row.ringMilliseconds),
    shown(median(ratios), 2),
    shown(cost(lockstep), 1),
    shown(median(lockstep.map(({ serverSecondsPerGB = NaN }) => serverSecondsPerGB)), 1),
    shown(cost(gloo), 1),
  ];
}

async function measureTraining(hosts: Hosts, place: Place): Promise<TrainingRow> {
  const ranks = hosts.hosts.map(() => place.ranksEach);
  const lockstep: number[] = [], ddp: number[] = [];
  for (let round = 0; round < number("rounds"); round++) {
    const name = `train${place.ranksEach}-${round}`;
    lockstep.push(await trainOverHosts(hosts, name, ranks, training));
    if (python) ddp.push(await trainByPeers(hosts, ranks, python, training));
  }
  return { ...place, lockstep, ddp };
}

const TRAINING_HEAD = [...PLACE_HEAD, "Lockstep, images/s", "DDP, images/s", "Lockstep / DDP"];

function showTraining(row: TrainingRow): string[] {
  const ratios = row.ddp.map((speed, at) => row.lockstep[at]! / speed);
  return [
    ...showPlace(row),
    shown(median(row.lockstep), 1),
    shown(median(row.ddp), 1),
    shown(median(ratios), 2),
  ];
}

const results: { allReduce: AllReduceRow[]; training: TrainingRow[] } = {
  ...{ allReduce: [], training: [] },
};
const isWanted = (what: string) => text("measure").split(",").includes(what);

async function measureCables(rateMbit: number, count: number, folder: string): Promise<void> {
  const visible = python.startsWith("/tmp/") ? [python.split("/bin/")[0]!] : [];
  await using hosts = await startHosts(count, { folder, rateMbit, visible });
  const tcpBytesPerSecond = await rateOf(hosts, rateMbit);
  const bytesPerSecond = rateMbit * 1e6 / 8 * SEGMENT_BYTES / FRAME_BYTES;
  for (const ranksEach of numbers("ranks")) {
    const place = { rateMbit, hosts: count, ranksEach, bytesPerSecond, tcpBytesPerSecond };
    if (isWanted("allreduce")) {
      const rows = await measureAllReduce(hosts, place);
      for (const row of rows) console.error(showAllReduce(row).join("  "));
      results.allReduce.push(...rows);
    }
    if (isWanted("train")) {
      const row = await measureTraining(hosts, place);
      console.error(showTraining(row).join("  "));
      results.training.push(row);
    }
  }
}

const problem = cannotUseNamespaces();
if (problem) {
  console.error(`error: This machine can't have hosts in namespaces: ${problem}`);
  Deno.exit(1);
}
for (const rateMbit of numbers("rates")) {
  for (const count of numbers("hosts")) {
    const folder = await Deno.makeTempDir({ prefix: "lockstep-hosts-" });
    try {
      await measureCables(rateMbit, count, folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
    if (text("out")) await Deno.writeTextFile(text("out"), JSON.stringify(results) + "\n");
  }
}
const { allReduce, training: trained } = results;
if (allReduce.length > 0) console.log(markdownTable(ALL_REDUCE_HEAD, allReduce.map(showAllReduce)));
if (trained.length > 0) console.log(markdownTable(TRAINING_HEAD, trained.map(showTraining)));
Deno.exit();
