/**
 * Runs `bench loader` and torchvision's PIL pipeline in turn, over the same images, and prints the median
 * ratios. Taking turns matters: on a shared machine only ratios within the same minute mean anything.
 *
 * Usage: deno task bench:loader-compare [--python PATH] [--rounds N] [--data DIR]
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { outputOf } from "./children.ts";

const root = new URL("..", import.meta.url).pathname;
const flags = parseArgs(Deno.args, { string: ["python", "rounds", "data"] });
const python = String(flags.python ?? "python3");
const rounds = Number(flags.rounds ?? 5);

interface Outcome {
  /** Images per second of wall-clock time: Lockstep on all its threads, torchvision on its one. */
  imagesPerSecond: number;
  /** Images per second of the process's time on a core. */
  imagesPerCoreSecond: number;
}

async function run(command: string, args: string[]): Promise<Outcome> {
  const { code, stdout, stderr } = await outputOf(command, { args, cwd: root });
  const text = new TextDecoder().decode(stdout);
  if (code !== 0) {
    throw new Error(`${command} ${args[0]} failed: ${new TextDecoder().decode(stderr)}`);
  }
  return JSON.parse(text.trim().split("\n").at(-1)!);
}

const lockstep = (...args: string[]) =>
  run(Deno.execPath(), ["task", "--quiet", "bench", "loader", "--json", ...args]);

async function compare(folder: string): Promise<void> {
  const contestants: [name: string, measure: () => Promise<Outcome>][] = [
    ["lockstep", () => lockstep("--data", folder)],
    ["torchvision", () => run(python, ["scripts/loader_peer.py", "--data", folder])],
  ];
  const outcomes: Record<string, Outcome[]> = { lockstep: [], torchvision: [] };
  for (let round = 1; round <= rounds; round++) {
    for (const [name, measure] of contestants) {
      const outcome = await measure();
      outcomes[name].push(outcome);
      console.log(
        `round ${round}  ${name.padEnd(12)} ${outcome.imagesPerSecond.toFixed(0)} images/s, ` +
          `${outcome.imagesPerCoreSecond.toFixed(0)} per second of one core`,
      );
    }
  }
  for (
    const [key, what] of [
      ["imagesPerCoreSecond", "per core"],
      ["imagesPerSecond", "per process, by the clock"],
    ] as const
  ) {
    const ratios = outcomes.lockstep
      .map((own, round) => own[key] / outcomes.torchvision[round][key])
      .toSorted((a, b) => a - b);
    const [least, median, most] = [ratios[0], ratios[ratios.length >> 1], ratios.at(-1)!]
      .map((ratio) => ratio.toFixed(2));
    console.log(
      `lockstep / torchvision, ${what}: ${median} (median of ${rounds} rounds, ${least} to ${most})`,
    );
  }
}

if (flags.data) await compare(String(flags.data));
else {
  const folder = await Deno.makeTempDir({ prefix: "lockstep-bench-" });
  try {
    await lockstep("--make", folder, "--epochs", "1");
    await compare(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
