/**
 * Process entry of a warm-up on a GPU; started by `src/coordinator/preparation/compile_kernels.ts`.
 *
 * @module
 */
import { runWarmUp } from "../src/worker/warm_up.ts";

Deno.exit(await runWarmUp());
