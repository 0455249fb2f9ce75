/**
 * Measures the same training step in PyTorch on the same card.
 *
 * @module
 */
import { join } from "node:path";
import { formatRate } from "../../../src/base/format.ts";
import { PROJECT_ROOT } from "../../files.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { measuredStep, type SpeedDetails } from "./speed.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "pytorch",
  title: "images per second of the same step in PyTorch",
  limitSeconds: 60,
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
  const { model, imageSize, batch, steps, warmup } = measuredStep(context);
  const { success, text, errors } = await output(python, [
    join(PROJECT_ROOT, "scripts/pytorch_peer.py"),
    ...["--model", model, "--image-size", `${imageSize}`, "--batch", `${batch}`],
    ...["--steps", `${steps}`, "--warmup", `${warmup}`],
    ...["--device", context.device === "gpu" ? "cuda" : "cpu"],
  ]);
  if (!success) {
    const reason = errors.trim().split("\n").at(-1);
    return { status: "fail", figure: `PyTorch ${version} failed: ${reason}` };
  }
  const details = JSON.parse(text) as SpeedDetails;
  return {
    status: "pass",
    figure: `${formatRate(details.imagesPerSecond)} with PyTorch ${version}`,
    details,
  };
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
