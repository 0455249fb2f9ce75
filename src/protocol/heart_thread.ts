/// <reference lib="deno.worker" />
/**
 * The thread behind {@linkcode Heart}.
 *
 * @module
 */
import type { HeartActivity, HeartStart } from "./heart.ts";
import { Link } from "./link.ts";

const BEAT_MS = 1_000;
let activity = "starting";

self.addEventListener("message", (event: MessageEvent<HeartStart | HeartActivity>) => {
  if ("activity" in event.data) activity = event.data.activity;
  else start(event.data).catch(() => self.close());
});

/** Fails when the server is gone: the process learns that from its own connection, the partner from the silence. */
async function start({ address, run, from, subject, place }: HeartStart): Promise<void> {
  const numbers = new Int32Array(place);
  const link = await Link.open(address, run, from);
  const beat = () => {
    const [epoch, step] = [Atomics.load(numbers, 0), Atomics.load(numbers, 1)];
    const { rss: residentBytes } = Deno.memoryUsage(); // of the whole process
    link.publish(subject, "heartbeat", { epoch, step, activity, residentBytes });
  };
  beat();
  setInterval(beat, BEAT_MS);
}
