/**
 * The thread behind {@linkcode HeartbeatSender}.
 *
 * @module
 */
import { ServerRefusalError } from "./connect_failure.ts";
import {
  type HeartbeatActivity,
  type HeartbeatName,
  type HeartbeatStart,
  type HeartFailure,
  PLACE,
} from "./heartbeat_sender.ts";
import { Link } from "./link.ts";
import { STEP_PHASES } from "./step_phases.ts";

const BEAT_MS = 1_000;
let activity = "starting";
let name: HeartbeatName | undefined;
let renameLink = (_from: string) => {};

// The types of a thread's scope can't be asked for: a published package may not change those of a program.
self.addEventListener("message", (event: unknown) => {
  const { data } = event as { data: HeartbeatStart | HeartbeatActivity | HeartbeatName };
  if ("activity" in data) activity = data.activity;
  else {
    name = { from: data.from, subject: data.subject };
    if ("place" in data) start(data).catch(failed);
    else renameLink(data.from);
  }
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

/** Looks for a lost server without end: the process learns from its own connection that it is gone for too long. */
async function start({ address, run, from, place }: HeartbeatStart): Promise<void> {
  const numbers = new Int32Array(place);
  const link = await Link.openPatiently(address, run, from, { reconnectMs: Infinity });
  link.failed.addEventListener("abort", () => failed(link.failed.reason));
  renameLink = (from) => void (link.from = from);
  renameLink(name!.from);
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
    link.publish(name!.subject, "heartbeat", sign);
  };
  beat();
  setInterval(beat, BEAT_MS);
}
