/**
 * A process that registers itself and waits: `deno run live_process.ts FOLDER NAME`. It prints a line when it is in the
 * register. SIGTERM ends it in order after the milliseconds of the third argument.
 *
 * @module
 */
import { takeStopRequests } from "../../src/base/signals.ts";
import { registerLive } from "../../src/records/live_runs.ts";

const [register = "", name = "", ms = "0"] = Deno.args;
const stopped = Promise.withResolvers<void>();
const controller = new AbortController();
using _requests = takeStopRequests(() => {
  controller.abort();
  setTimeout(stopped.resolve, Number(ms));
});
using live = await registerLive({ kind: "train", name }, {
  folders: [register],
  signal: controller.signal,
  onProblem: (problem) => console.log(`problem: ${problem}`),
});
await live.settled();
console.log("registered");
const timer = setInterval(() => {}, 1000);
await stopped.promise;
clearInterval(timer);
