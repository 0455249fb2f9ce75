/**
 * Makes the processes of tests end with their runner; imported by whatever starts processes. `deno task test` watches
 * the runner already: then there is nothing to do.
 *
 * @module
 */
import { makeMark, MARK_VARIABLE, watchRunner } from "../../scripts/end_with_runner.ts";

if (!Deno.env.has(MARK_VARIABLE)) {
  const mark = makeMark();
  Deno.env.set(MARK_VARIABLE, mark);
  watchRunner([Deno.pid], mark);
}
