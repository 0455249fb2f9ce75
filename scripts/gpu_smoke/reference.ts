/**
 * References: tensors that the CPU computes in a process that sees no GPU.
 *
 * @module
 */
import { join } from "node:path";
import { decodeSafetensors, encodeSafetensors } from "../../src/weights/safetensors.ts";
import type { CheckContext, SmokeCheck } from "./check.ts";
import { checkProcess } from "./process.ts";

/** Path of a check's reference. */
function referencePath(context: CheckContext, { name }: SmokeCheck): string {
  return join(context.folder, `${name}.reference.safetensors`);
}

/**
 * Has the reference of a check computed, and reads it.
 *
 * In a dry run the reference comes from Eigen's kernels and the checked values from oneDNN's, so that the comparison
 * compares two implementations there, too.
 *
 * @throws {Error} when the process fails; its log says why
 */
export async function reference(
  context: CheckContext,
  check: SmokeCheck,
): Promise<Map<string, Float32Array>> {
  const command = checkProcess(check, context, "reference", {
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  });
  const { success, code, signal } = await command.output();
  if (!success) throw new Error(`The reference on the CPU ended with ${signal ?? `code ${code}`}`);
  const path = referencePath(context, check);
  const { tensors } = decodeSafetensors(await Deno.readFile(path), path);
  await Deno.remove(path);
  return new Map(
    [...tensors].map(([name, { data }]) => [name, new Float32Array(data.slice().buffer)]),
  );
}

/** Writes the reference of a check: what the process of `reference()` does. */
export async function writeReference(context: CheckContext, check: SmokeCheck): Promise<void> {
  const values = await check.reference!(context);
  const tensors = new Map(
    [...values].map(([name, floats]) => [name, {
      dtype: "float32" as const,
      shape: [floats.length],
      data: new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength),
    }]),
  );
  await Deno.writeFile(referencePath(context, check), encodeSafetensors(tensors, {}));
}
