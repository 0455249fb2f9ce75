/**
 * Deno as a program of its own.
 *
 * @module
 */
import "./end_with_runner.ts";

/** A program's end and its output as text. */
export interface DenoResult {
  readonly code: number;
  /** The signal that ended it. */
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs Deno to its end, without colours. */
export async function runDeno(
  args: readonly string[],
  { env, ...options }: Pick<Deno.CommandOptions, "cwd" | "env" | "stdin"> = {},
): Promise<DenoResult> {
  const { code, signal, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    stdin: "null",
    ...options,
    args: [...args],
    env: { NO_COLOR: "1", ...env },
  }).output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, signal, stdout: text, stderr: errors };
}
