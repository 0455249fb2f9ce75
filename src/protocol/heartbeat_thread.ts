/**
 * The thread behind {@linkcode HeartbeatSender}.
 *
 * @module
 */
import { ServerRefusalError } from "./connect_failure.ts";
import {
  type HeartbeatActivity,
  type HeartbeatStart,
  type HeartFailure,
  PLACE,
} from "./heartbeat_sender.ts";
import { Link } from "./link.ts";
import { STEP_PHASES } from "./step_phases.ts";

const BEAT_MS = 1_000;
let activity = "starting";

// The types of a thread's scope can't be asked for: a published package may not change those of a program.
self.addEventListener("message", (event: unknown) => {
  const { data } = event as { data: HeartbeatStart | HeartbeatActivity };
  if ("activity" in data) activity = data.activity;
  else start(data).catch(failed);
});

/**
 * Reports an error that a retry won't fix to the process, which learns of other errors from its own
 * connection. Then ends the thread.
 */
function failed(error: unknown): void {
  if (error instanceof ServerRefusalError) {
    const thread = self as unknown as { postMessage(message: HeartFailure): void };
    thread.postMessage({ failure: error.message });
  }
  self.close();
}

/** Fails when the server is gone: the process learns that from its own connection, the partner from the silence. */
async function start({ address, run, from, subject, place }: HeartbeatStart): Promise<void> {
  const numbers = new Int32Array(place);
  const link = await Link.openPatiently(address, run, from);
  link.failed.addEventListener("abort", () => failed(link.failed.reason));
  const beat = () => {
    const at = (key: keyof typeof PLACE) => Atomics.load(numbers, PLACE[key]);
    const [epoch, step, phase] = [
      at("epoch"),
      at("step"),
      STEP_PHASES[at("phase")] ?? STEP_PHASES[0],
    ];
    const sample = at("sample") > 0 ? at("sample") - 1 : null;
    const { rss: residentBytes } = Deno.memoryUsage(); // of the whole process
    const refused = at("refused");
    const sign = { epoch, step, phase, sample, activity, residentBytes, refused };
    link.publish(subject, "heartbeat", sign);
  };
  beat();
  setInterval(beat, BEAT_MS);
}
