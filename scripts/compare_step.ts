/**
 * Runs `bench step` and its PyTorch peer in turn and prints the ratios of the medians. Taking turns matters:
 * on a shared machine only ratios within the same minutes mean anything.
 *
 * Usage: deno task bench:compare [--python PATH] [--rounds N]
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";

const root = new URL("..", import.meta.url).pathname;
const flags = parseArgs(Deno.args, { string: ["python", "rounds"] });
const python = String(flags.python ?? "python3");
const rounds = Number(flags.rounds ?? 3);

interface Outcome {
  imagesPerSecond: number;
}

async function run(command: string, args: string[]): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(command, { args, cwd: root }).output();
  const text = new TextDecoder().decode(stdout);
  if (code !== 0) {
    throw new Error(`${command} ${args[0]} failed: ${new TextDecoder().decode(stderr)}`);
  }
  return JSON.parse(text.trim().split("\n").at(-1)!);
}

const peer = (format: string) => () => run(python, ["scripts/pytorch_peer.py", "--format", format]);
const contestants: Record<string, () => Promise<Outcome>> = {
  "lockstep": () => run(Deno.execPath(), ["task", "--quiet", "bench", "step", "--json"]),
  "pytorch default": peer("default"),
  "pytorch channels_last": peer("channels_last"),
};

const speeds: Record<string, number[]> = {};
for (let round = 1; round <= rounds; round++) {
  for (const [name, measure] of Object.entries(contestants)) {
    const { imagesPerSecond } = await measure();
    (speeds[name] ??= []).push(imagesPerSecond);
    console.log(`round ${round}  ${name.padEnd(22)} ${imagesPerSecond.toFixed(1)} images/s`);
  }
}
const medianOf = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1];
for (const name of Object.keys(contestants).slice(1)) {
  const ratios = speeds[name].map((speed, round) => speeds.lockstep[round] / speed);
  console.log(
    `lockstep / ${name}: ${medianOf(ratios).toFixed(2)} (median of ${ratios.length} rounds)`,
  );
}
