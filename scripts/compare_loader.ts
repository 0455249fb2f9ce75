/**
 * Runs `bench loader` and torchvision's PIL pipeline in turn, over the same images, and prints the median
 * ratios. Taking turns matters: on a shared machine only ratios within the same minute mean anything.
 *
 * For each number of threads, torch's DataLoader has as many worker processes.
 *
 * Usage: deno task bench:loader-compare [--python PATH] [--rounds N] [--threads 1,2] [--data DIR]
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { outputOf } from "./children.ts";

const root = new URL("..", import.meta.url).pathname;
const flags = parseArgs(Deno.args, { string: ["python", "rounds", "threads", "data"] });
const python = String(flags.python ?? "python3");
const rounds = Number(flags.rounds ?? 5);
const threads = String(flags.threads ?? navigator.hardwareConcurrency).split(",").map(Number);

/** Images per second by the clock. */
type Outcome = number;

async function run(command: string, args: string[]): Promise<unknown> {
  const { code, stdout, stderr } = await outputOf(command, { args, cwd: root });
  const text = new TextDecoder().decode(stdout);
  if (code !== 0) {
    throw new Error(`${command} ${args[0]} failed: ${new TextDecoder().decode(stderr)}`);
  }
  return JSON.parse(text.trim().split("\n").at(-1)!);
}

const bench = (...args: string[]) =>
  run(Deno.execPath(), ["task", "--quiet", "bench", "loader", "--json", ...args]);

async function lockstep(folder: string, count: number): Promise<Outcome> {
  const result = await bench("--data", folder, "--threads", String(count));
  return (result as { speeds: [{ imagesPerSecond: number }] }).speeds[0].imagesPerSecond;
}

async function torchvision(folder: string, count: number): Promise<Outcome> {
  const args = ["scripts/loader_peer.py", "--data", folder, "--workers", String(count)];
  return (await run(python, args) as { imagesPerSecond: number }).imagesPerSecond;
}

async function compare(folder: string): Promise<void> {
  const ratios = threads.map((): number[] => []);
  for (let round = 1; round <= rounds; round++) {
    for (const [at, count] of threads.entries()) {
      const [own, other] = [await lockstep(folder, count), await torchvision(folder, count)];
      ratios[at]!.push(own / other);
      console.log(
        `round ${round}  lockstep, ${count} threads: ${own.toFixed(0)} images/s; torchvision, ` +
          `${count} workers: ${other.toFixed(0)} images/s; ratio ${(own / other).toFixed(2)}`,
      );
    }
  }
  for (const [at, count] of threads.entries()) {
    const sorted = ratios[at]!.toSorted((a, b) => a - b);
    const [least, median, most] = [sorted[0]!, sorted[sorted.length >> 1]!, sorted.at(-1)!]
      .map((ratio) => ratio.toFixed(2));
    console.log(
      `lockstep / torchvision, ${count} threads and workers: ${median} (median of ${rounds} rounds, ` +
        `${least} to ${most})`,
    );
  }
}

if (flags.data) await compare(String(flags.data));
else {
  const folder = await Deno.makeTempDir({ prefix: "lockstep-bench-" });
  try {
    await bench("--make", folder, "--epochs", "1");
    await compare(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
