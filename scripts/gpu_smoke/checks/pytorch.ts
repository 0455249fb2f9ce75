/**
 * Measures the same training step in PyTorch on the same card, in each precision, by channels_last, autocast and
 * torch.compile.
 *
 * @module
 */
import { join } from "node:path";
import { formatRate } from "../../../src/base/format.ts";
import type { Precision } from "../../../src/engine/precision.ts";
import { PROJECT_ROOT } from "../../files.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { measuredStep, type SpeedDetails } from "./speed.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "pytorch",
  title: "images per second of the same step in PyTorch",
  limitSeconds: 190,
  cards: "first",
  needsGpu: false,
  run,
};

const ASKS = "import torch, torchvision; print(torch.__version__, torch.cuda.is_available())";

async function run(context: CheckContext): Promise<Outcome> {
  const { python } = context;
  const answer = await output(python, ["-c", ASKS]);
  if (!answer.success) {
    return skip(
      `${python} has no PyTorch with torchvision: name one that has with --python, or let pip install them with ` +
        "--install-pytorch",
    );
  }
  const [version, hasGpu] = answer.text.trim().split(" ");
  if (context.device === "gpu" && hasGpu !== "True") {
    return skip(`PyTorch ${version} of ${python} finds no GPU: name another with --python`);
  }
  const [plain, ...others] = variantsOf(context);
  const first = await measure(context, plain);
  if ("problem" in first) {
    return { status: "fail", figure: `PyTorch ${version} failed: ${first.problem}` };
  }
  const variants: PeerVariant[] = [{ ...plain, ...first }];
  for (const variant of others) variants.push({ ...variant, ...await measure(context, variant) });
  const figures = variants.map((each) =>
    `${nameOfVariant(each)} ${
      each.imagesPerSecond === undefined
        ? `failed (${each.problem})`
        : formatRate(each.imagesPerSecond)
    }`
  );
  const details: PeerDetails = { ...first, variants };
  return { status: "pass", figure: `PyTorch ${version}: ${figures.join(", ")}`, details };
}

/** A way to take the step in PyTorch. */
interface Variant {
  readonly precision: Precision;
  readonly format: "default" | "channels_last";
  readonly isCompiled: boolean;
}

/** A way that was measured, or why it couldn't be. */
export interface PeerVariant extends Variant, Partial<SpeedDetails> {
  readonly problem?: string;
}

/** The result, as other checks read it: the speed of plain float32, and that of each way. */
export interface PeerDetails extends SpeedDetails {
  readonly variants: readonly PeerVariant[];
}

/** Returns the name of a way, such as `float16 channels_last compiled`. */
export function nameOfVariant({ precision, format, isCompiled }: Variant): string {
  const parts = [precision, ...(format === "default" ? [] : [format])];
  return [...parts, ...(isCompiled ? ["compiled"] : [])].join(" ");
}

/** Plain float32 first. On the CPU there is nothing but it and bfloat16, and compiling takes minutes. */
function variantsOf({ device }: CheckContext): [Variant, ...Variant[]] {
  const plain = { precision: "float32", format: "default", isCompiled: false } as const;
  const last = { format: "channels_last", isCompiled: false } as const;
  if (device === "cpu") return [plain, { ...last, precision: "float32" }];
  const half = ["float16", "bfloat16"] as const;
  return [
    plain,
    ...["float32" as const, "tf32" as const, ...half].map((precision) => ({ ...last, precision })),
    ...half.map((precision) => ({ ...last, precision, isCompiled: true })),
  ];
}

async function measure(
  context: CheckContext,
  { precision, format, isCompiled }: Variant,
): Promise<SpeedDetails | { readonly problem: string }> {
  const { model, imageSize, batch, steps, warmup } = measuredStep(context);
  const { success, text, errors } = await output(context.python, [
    join(PROJECT_ROOT, "scripts/pytorch_peer.py"),
    ...["--model", model, "--image-size", `${imageSize}`, "--batch", `${batch}`],
    ...["--steps", `${steps}`, "--warmup", `${warmup}`],
    ...["--device", context.device === "gpu" ? "cuda" : "cpu"],
    ...["--precision", precision, "--format", format, ...(isCompiled ? ["--compile"] : [])],
  ]);
  return success ? JSON.parse(text) : { problem: errors.trim().split("\n").at(-1) ?? "" };
}

function skip(figure: string): Outcome {
  return { status: "skip", figure };
}

async function output(program: string, args: string[]) {
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, { args, stdin: "null" })
      .output();
    const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    return { success, text, errors };
  } catch {
    return { success: false, text: "", errors: "" }; // there is no such program
  }
}
