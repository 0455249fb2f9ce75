/**
 * `deno task ok`: everything that must hold before a commit, cheapest first.
 *
 * All stages run even when one fails, so that one round shows all there is to mend.
 *
 * @module
 */
import { exitCode, succeeds } from "./children.ts";
import { PROJECT_ROOT } from "./files.ts";

const STAGES: { name: string; args: string[] }[] = [
  { name: "format", args: ["fmt", "--check"] },
  { name: "lint", args: ["lint"] },
  { name: "types", args: ["check", "."] },
  { name: "indices", args: ["task", "check:indexed"] },
  { name: "layers", args: ["task", "check:layers"] },
  { name: "docs", args: ["task", "check:docs"] },
  { name: "spelling", args: ["task", "check:spelling"] },
  { name: "unit tests", args: ["task", "test:quick", "--trace-leaks"] },
  { name: "tests", args: ["task", "test"] },
];

/** Runs one stage with its output shown, and tells whether it passed. */
async function passes(args: string[]): Promise<boolean> {
  return await succeeds(Deno.execPath(), { args, cwd: PROJECT_ROOT, stdin: "null" });
}

if (import.meta.main) {
  const failed: string[] = [];
  for (const { name, args } of STAGES) {
    console.log(`\n== ${name}`);
    const start = performance.now();
    const passed = await passes(args);
    if (!passed) failed.push(name);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`== ${name} ${passed ? "passed" : "FAILED"} (${seconds} s)`);
  }
  console.log(failed.length === 0 ? "\nAll well" : `\nFailed: ${failed.join(", ")}`);
  Deno.exit(exitCode(failed.length === 0 ? 0 : 1));
}
