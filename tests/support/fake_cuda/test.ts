/**
 * Tests that need fake GPUs: left out, with a printed reason, where these can't be built.
 *
 * @module
 */
import { fakeCudaProblem } from "./build.ts";

const problem = fakeCudaProblem();
if (problem !== undefined) console.log(`Tests with fake GPUs are left out: ${problem}`);

/** A test that needs fake GPUs. */
export function fakeCudaTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, ignore: problem !== undefined });
}
