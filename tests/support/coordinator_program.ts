/**
 * A coordinator process to be killed: prints the pids of its server and its two workers, and waits.
 *
 * @module
 */
import { startCoordinator } from "./coordinator_rig.ts";

const run = await startCoordinator({ count: 2 });
console.log(JSON.stringify([run.rig.broker.pid, ...run.workers.map(({ pid }) => pid)]));
await new Promise(() => setInterval(() => {}, 1_000));
