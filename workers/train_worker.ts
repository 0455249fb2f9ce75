/**
 * Process entry of a training worker; started by the coordinator, see `src/hosts/spawn.ts`.
 *
 * @module
 */
import { BenchSession } from "../src/bench/bench_session.ts";
import { runWorker } from "../src/worker/worker.ts";

const { exit } = Deno; // what runs in a worker may not end it
exit(await runWorker((options, benchmark) => new BenchSession(options, benchmark)));
