/**
 * The program of a check's process: makes one check, or computes its reference.
 *
 * Usage: run_check.ts check|reference NAME CONTEXT
 *
 * @module
 */
import { messageOf } from "../../src/base/errors.ts";
import type { CheckContext, Outcome } from "./check.ts";
import { CHECKS } from "./checks.ts";
import { resultPath } from "./run_checks.ts";
import { writeReference } from "./reference.ts";

const [mode, name, json] = Deno.args;
const context = JSON.parse(json!) as CheckContext;
const check = CHECKS.find((known) => known.name === name)!;
if (mode === "reference") await writeReference(context, check);
else {
  const outcome = await check.run(context).catch((error): Outcome => {
    console.error(error);
    return { status: "fail", figure: messageOf(error) };
  });
  await Deno.writeTextFile(
    resultPath(context, check),
    JSON.stringify(outcome, undefined, 2) + "\n",
  );
}
// TensorFlow's threads and CUDA's are not waited for.
Deno.exit(0);
