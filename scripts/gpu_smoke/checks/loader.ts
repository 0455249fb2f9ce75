/**
 * Compares the loader's images per second with those that the card takes.
 *
 * @module
 */
import { counted, formatRate } from "../../../src/base/format.ts";
import { datasetFolder } from "../../../src/provision/datasets.ts";
import { exists } from "../../../src/base/paths.ts";
import { task } from "../../../src/base/invocation.ts";
import { PROJECT_ROOT } from "../../files.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { readOutcome } from "../run_checks.ts";
import { measuredStep, type SpeedDetails } from "./speed.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "loader",
  title: "that the loader feeds the card",
  limitSeconds: 60,
  cards: "none",
  needsGpu: false,
  run,
};

/** Settings that `deno run` takes from the set of permissions of training. */
const BENCH = ["run", "--quiet", "--no-prompt", "-P=train", "src/cli.ts", "bench", "loader"];

async function run(context: CheckContext): Promise<Outcome> {
  const photos = datasetFolder("food-groups");
  if (!await exists(photos)) {
    return { status: "skip", figure: `${photos} is missing: run "${task("setup")} food-groups"` };
  }
  const { imageSize, batch } = measuredStep(context);
  const images = context.size === "full" ? 512 : 16;
  // The cards of a machine share its CPUs, as the workers of a run do.
  const cards = Math.max(1, context.gpus.length);
  const threads = Math.max(1, Math.floor(navigator.hardwareConcurrency / cards));
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...BENCH,
      "--json",
      ...["--threads", `${threads}`],
      ...["--image-size", `${imageSize}`, "--batch", `${batch}`],
      ...["--pictures", `${images}`, "--epochs", context.size === "full" ? "3" : "1"],
    ],
    cwd: PROJECT_ROOT,
    stdin: "null",
  }).output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!success) throw new Error(errors.trim().split("\n").at(-1));
  const details = JSON.parse(text.trim().split("\n").at(-1)!);
  const [loaded] = details.speeds as SpeedDetails[];
  const loads = `the loader gives ${formatRate(loaded.imagesPerSecond)} with ` +
    `${counted(threads, "thread")}, a card's share of ${navigator.hardwareConcurrency} CPUs`;
  const speed = await readOutcome(context, { name: "speed" });
  if (speed?.status !== "pass") {
    return { status: "fail", figure: `${loads}; the step was not measured`, details };
  }
  const { imagesPerSecond } = speed.details as SpeedDetails;
  const share = loaded.imagesPerSecond / imagesPerSecond;
  return {
    status: share >= 1 ? "pass" : "fail",
    figure: `${loads}, ${share.toFixed(2)} times what the card takes`,
    details: { loader: details, share },
  };
}
