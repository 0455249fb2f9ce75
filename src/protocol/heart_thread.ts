/**
 * The thread behind {@linkcode Heart}.
 *
 * @module
 */
import { type HeartActivity, type HeartStart, PLACE } from "./heart.ts";
import { Link } from "./link.ts";
import { STEP_PHASES } from "./step_phases.ts";

const BEAT_MS = 1_000;
let activity = "starting";

// The types of a thread's scope can't be asked for: a published package may not change those of a program.
self.addEventListener("message", (event: unknown) => {
  const { data } = event as { data: HeartStart | HeartActivity };
  if ("activity" in data) activity = data.activity;
  else start(data).catch(() => self.close());
});

/** Fails when the server is gone: the process learns that from its own connection, the partner from the silence. */
async function start({ address, run, from, subject, place }: HeartStart): Promise<void> {
  const numbers = new Int32Array(place);
  const link = await Link.openPatiently(address, run, from);
  const beat = () => {
    const at = (key: keyof typeof PLACE) => Atomics.load(numbers, PLACE[key]);
    const [epoch, step, phase] = [at("epoch"), at("step"), STEP_PHASES[at("phase")]];
    const sample = at("sample") > 0 ? at("sample") - 1 : null;
    const { rss: residentBytes } = Deno.memoryUsage(); // of the whole process
    link.publish(subject, "heartbeat", { epoch, step, phase, sample, activity, residentBytes });
  };
  beat();
  setInterval(beat, BEAT_MS);
}
