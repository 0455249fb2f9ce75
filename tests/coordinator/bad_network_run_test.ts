/**
 * Runs whose messages are lost, repeated, delayed, overtaken and damaged on their way, on a server that they share.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Fate, type Passing, startChaoticNetwork } from "../support/chaotic_network.ts";
import { makeImages } from "../support/images.ts";
import { startPlainServer } from "../support/nats_server.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, newestRun, startTrain, tinyConfig } from "../support/tiny_run.ts";

type Changes = NonNullable<Parameters<typeof tinyConfig>[1]>;

/**
 * Makes fates of which each comes up again and again; losses and damages, which cost seconds, less often. The messages of
 * each run, to its coordinator and to its workers, are counted by themselves, so that some of each arrive damaged.
 */
function mixedFates(): (message: Passing) => Fate {
  const counts = new Map<string, number>();
  return ({ subject }) => {
    const [, run] = subject.split(".");
    const way = `${run} ${subject.includes(".gradient.")}`;
    const index = counts.get(way) ?? 0;
    counts.set(way, index + 1);
    if (index % 40 === 23) return "drop";
    if (index % 30 === 11) return "damage";
    return (["pass", "repeat", "pass", "late", "pass", "overtaken"] as const)[index % 6];
  };
}

/** Trains by a process of its own, below a folder of its own. */
async function trained(folder: string, own: string, changes: Changes) {
  const config = { ...tinyConfig(join(folder, "images"), changes), out: join(folder, own) };
  await Deno.mkdir(join(folder, own));
  await using run = await startTrain(join(folder, own), config);
  const { code, stdout, stderr } = await run.result;
  return { code, output: stdout + stderr, out: join(folder, own) };
}

async function bitsOf({ code, output, out }: Awaited<ReturnType<typeof trained>>) {
  assert.equal(code, 0, output);
  return (await lastState(await newestRun(out))).sha256;
}

/** Chunks of rank 1 are damaged, however often they are sent. */
function damagedRank({ subject, payload }: Passing): Fate {
  const head = new TextDecoder().decode(payload.subarray(0, 300));
  return subject.endsWith(".gradient.1") && head.includes('"gradient"') ? "damage" : "pass";
}

Deno.test("runs of one name on one server, whose messages are lost, repeated, late, overtaken and damaged, end with their own bits; a rank of whom all arrives damaged is named", () =>
  withTemporaryFolder(async (folder) => {
    await makeImages(join(folder, "images"));
    await using server = await startPlainServer();
    await using network = startChaoticNetwork(server.url, mixedFates());
    await using damaging = startChaoticNetwork(server.url, damagedRank);
    const one = { exchange: "nats", workers: 2, name: "same" } as const;
    const other = { ...one, seed: 1, workers: 1 };
    const nats = { url: network.url };
    const [calmOne, calmOther, badOne, badOther, damaged] = await Promise.all([
      trained(folder, "calm-one", one),
      trained(folder, "calm-other", other),
      trained(folder, "bad-one", { ...one, nats }),
      trained(folder, "bad-other", { ...other, nats }),
      trained(folder, "damaged", { ...one, nats: { url: damaging.url } }),
    ]);
    assert.deepEqual(await bitsOf(badOne), await bitsOf(calmOne));
    assert.deepEqual(await bitsOf(badOther), await bitsOf(calmOther));
    assert.notDeepEqual(await bitsOf(calmOther), await bitsOf(calmOne));
    for (const [fate, count] of Object.entries(network.fates)) assert.ok(count > 0, fate);
    assert.match(
      badOne.output,
      /Refused messages of others on the run's subjects: .*\d+ that came before/,
    );
    assert.match(badOne.output, /\d+ that arrived damaged/);
    assert.equal(damaged.code, 1, damaged.output);
    assert.match(
      damaged.output,
      /^error: A message of rank 1 on lockstep\.same-\w+\.0\.gradient\.1 arrived damaged: its checksum doesn't fit$/m,
    );
  }));

/** A network with 3.6 MB of gradients. */
const WIDE = `
export function createModel({ inputShape, numClasses }, tf) {
  return tf.sequential({ layers: [
    tf.layers.flatten({ inputShape, name: "flat" }),
    tf.layers.dense({ name: "wide", units: 768, activation: "relu" }),
    tf.layers.dense({ name: "head", units: numClasses }),
  ] });
}
`;

Deno.test("a server that cuts off readers who are a little behind costs no bit, or ends the run with the limit to raise", () =>
  withTemporaryFolder(async (folder) => {
    await makeImages(join(folder, "images"));
    await using server = await startPlainServer("max_payload: 64KB\nmax_pending: 64KB");
    const path = join(folder, "wide.js");
    await Deno.writeTextFile(path, WIDE);
    const changes: Changes = {
      exchange: "nats",
      workers: 2,
      model: { module: pathToFileURL(path).href },
      train: { epochs: 1 },
    };
    const [calm, slow] = await Promise.all([
      trained(folder, "calm", changes),
      trained(folder, "slow", { ...changes, nats: { url: server.url } }),
    ]);
    assert.match(slow.output, /The nats-server at .* is back after/, "it was cut off");
    if (slow.code === 0) return assert.deepEqual(await bitsOf(slow), await bitsOf(calm));
    assert.match(
      slow.output,
      /^error: The nats-server at .* broke off the connection 5 times within \d+ s, though it answers: where its log says Slow Consumer, raise its max_pending/m,
    );
  }));
