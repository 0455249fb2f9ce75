/**
 * Process entry of a training worker; started by the coordinator, see `src/coordinator/spawn.ts`.
 *
 * @module
 */
import { runWorker } from "../src/worker/worker.ts";

Deno.exit(await runWorker());
