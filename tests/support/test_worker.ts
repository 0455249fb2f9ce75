/**
 * A worker process for tests of the coordinator: joins, beats, and does what the commands say. Words behind
 * a question mark in its address make it misbehave.
 *
 * @module
 */
import { hostOf } from "../../src/engine/device_memory.ts";
import { floatsOf } from "../../src/base/float_range.ts";
import { openExchange } from "../../src/exchange/open_exchange.ts";
import type { CommandOutcome, WorkerCommand } from "../../src/protocol/command_channel.ts";
import { serveCommands } from "../../src/protocol/command_channel.ts";
import { startHeartbeat } from "../../src/worker/heartbeat.ts";
import { joinRun, type Membership } from "../../src/worker/join.ts";
import { readParent } from "../../src/worker/parent.ts";

const mode = decodeURIComponent(new URL(import.meta.url).search.slice(1));
const { settings, gone } = await readParent();
gone.then(() => Deno.exit(3));
if (mode === "exit early" && settings.index === 1) {
  console.error("out of cheese");
  Deno.exit(7);
}
if (mode === "never join" && settings.index === 1) {
  console.log("still thinking");
  await new Promise(() => setInterval(() => {}, 1_000));
}
const member = await joinRun(settings, 20);
const { link, transfers, rank } = member;
const heartbeat = await startHeartbeat(link, settings, rank);
heartbeat.coordinatorLost.addEventListener("abort", () => {
  console.error(heartbeat.coordinatorLost.reason.message);
  Deno.exit(4);
});
const left = Promise.withResolvers<void>();
await serveCommands(link, transfers, rank, (command) => obey(command, member));
await left.promise;
await link.close();
Deno.exit(0);

async function obey(
  { name, args, payload }: WorkerCommand,
  { job }: Membership,
): Promise<CommandOutcome> {
  if (name === "leave") {
    setTimeout(left.resolve, 50); // after the reply
    return {};
  }
  if (name === "echo") {
    const bytes = payload ?? member.payload;
    return { result: { args, job, rank }, ...(bytes ? { payload: bytes } : {}) };
  }
  if (name === "fail" && rank === 1) throw new TypeError("No such file: x.jpg");
  if (name === "at") heartbeat.at(3, 17);
  if (name === "block") blockFor(Number(args));
  if (name === "reduce") await reduce(args as { steps: number; vectorBytes: number });
  return {};
}

function blockFor(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

async function reduce({ steps, vectorBytes }: { steps: number; vectorBytes: number }) {
  const shape = { rank, worldSize: member.worldSize, vectorBytes, regions: 0 };
  const { exchange, buffers } = await openExchange(link, shape, undefined);
  floatsOf(hostOf(buffers.vector)).fill(rank + 1);
  for (let step = 0; step < steps; step++) {
    heartbeat.at(0, step);
    await exchange.reduceScatter({
      epoch: 0,
      step,
      samples: 1,
      weight: 1,
      lossSum: 0,
      correct: 0,
    });
    await exchange.agree(0);
  }
  await exchange.close();
}
