/**
 * Measures training steps in each precision, beside PyTorch's fastest in the same one. Each is a process of its own,
 * since CUDA's libraries read their settings once.
 *
 * @module
 */
import { formatRate } from "../../../src/base/format.ts";
import { type Precision, PRECISIONS } from "../../../src/engine/precision.ts";
import { PROJECT_ROOT } from "../../files.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { readOutcome } from "../run_checks.ts";
import { nameOfVariant, type PeerDetails, type PeerVariant } from "./pytorch.ts";
import { isComputedLoss, measuredStep } from "./speed.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "precisions",
  title: "images per second of a training step in each precision",
  limitSeconds: 120,
  cards: "first",
  needsGpu: false,
  run,
};

/** A precision that was measured, or why it couldn't be. */
interface Measured {
  readonly precision: Precision;
  readonly imagesPerSecond?: number;
  readonly loss?: number;
  readonly refusal?: string;
}

const USAGE = 2;
const BENCH = [
  "run",
  "--quiet",
  "--no-prompt",
  "-P=train",
  "src/cli.ts",
  "bench",
  "step",
  "--json",
];

async function run(context: CheckContext): Promise<Outcome> {
  // On CPUs without instructions for them, 16 bits take many times longer, and say nothing about a card.
  const wanted = context.device === "cpu" ? PRECISIONS.slice(0, 2) : PRECISIONS;
  const measured: Measured[] = [];
  for (const precision of wanted) measured.push(await measure(context, precision));
  const peer = await readOutcome(context, { name: "pytorch" });
  const variants = peer?.status === "pass" ? (peer.details as PeerDetails).variants : [];
  const figure = measured.map((each) => describe(each, variants)).join("; ");
  const wrong = measured.find(({ loss }) => loss !== undefined && !isComputedLoss(loss));
  const details = { measured, variants };
  if (wrong) {
    const problem = `with ${wrong.precision} the steps compute a loss of ${wrong.loss}`;
    return { status: "fail", figure: problem, details };
  }
  const isAny = measured.some(({ imagesPerSecond }) => imagesPerSecond !== undefined);
  return { status: isAny ? "pass" : "fail", figure, details };
}

async function measure(context: CheckContext, precision: Precision): Promise<Measured> {
  const { model, imageSize, batch, steps, warmup } = measuredStep(context);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...BENCH,
      ...["--precision", precision, "--model", model, "--device", context.device],
      ...["--image-size", `${imageSize}`, "--batch", `${batch}`],
      ...["--steps", `${steps}`, "--warmup", `${warmup}`],
    ],
    cwd: PROJECT_ROOT,
    stdin: "null",
  }).output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim());
  const last = errors!.split("\n").at(-1)!;
  if (code === USAGE) return { precision, refusal: last.replace(/^error: /, "") };
  if (code !== 0) throw new Error(`${precision}: ${last}`);
  const { imagesPerSecond, loss } = JSON.parse(text!.split("\n").at(-1)!);
  // JSON has no NaN.
  return { precision, imagesPerSecond, loss: loss ?? NaN };
}

/** Describes one precision beside the fastest of PyTorch's in the same one. */
export function describe(
  { precision, imagesPerSecond, refusal }: Measured,
  variants: readonly PeerVariant[],
): string {
  if (imagesPerSecond === undefined) return `${precision} refused: ${refusal}`;
  const [fastest] = variants
    .filter((variant) => variant.precision === precision && variant.imagesPerSecond !== undefined)
    .sort((a, b) => b.imagesPerSecond! - a.imagesPerSecond!);
  const ratio = fastest === undefined
    ? ""
    : `, ${(imagesPerSecond / fastest.imagesPerSecond!).toFixed(2)} times PyTorch's ${
      formatRate(fastest.imagesPerSecond!)
    } (${nameOfVariant(fastest)})`;
  return `${precision} ${formatRate(imagesPerSecond)}${ratio}`;
}
