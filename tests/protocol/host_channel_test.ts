import assert from "node:assert/strict";
import { delay, within } from "../../src/base/async.ts";
import { LockstepError, UsageError } from "../../src/base/errors.ts";
import { HostConversation } from "../../src/hosts/host_conversation.ts";
import { HostChannel } from "../../src/protocol/host_channel.ts";
import type { Json } from "../../src/protocol/large_json.ts";
import { Link } from "../../src/protocol/link.ts";
import { makeRunIdentity } from "../../src/protocol/subjects.ts";
import { type Fate, startChaoticNetwork } from "../support/chaotic_network.ts";
import { startPlainServer } from "../support/nats_server.ts";

/** Each message meets another fate in turn; a third is lost. */
function fates(): () => Fate {
  const all = ["pass", "drop", "late", "repeat", "drop", "overtaken", "damage"] as const;
  let index = 0;
  return () => all[index++ % all.length]!;
}

const ends = { a: crypto.randomUUID(), b: crypto.randomUUID() };

Deno.test("HostChannel brings each body once and in order, both ways, over a network that loses, repeats and reorders", async () => {
  await using server = await startPlainServer();
  await using network = startChaoticNetwork(server.url, fates());
  const run = makeRunIdentity("channel");
  const links = await Promise.all(
    ["coordinator", "host 1"].map((from) => Link.open({ url: network.url }, run, from)),
  );
  const got: Json[][] = [[], []];
  const strangers: Json[] = [];
  const channels = links.map((link, at) =>
    new HostChannel({
      ...{ link, session: ends.a },
      speaking: at === 0 ? link.subjects.hostCommand(1) : link.subjects.hostEvent(1),
      listening: at === 0 ? link.subjects.hostEvent(1) : link.subjects.hostCommand(1),
      onBody: (body) => void got[at]!.push(body),
    })
  );
  const old = new HostChannel({
    ...{ link: links[1]!, session: ends.b },
    speaking: links[1]!.subjects.hostEvent(1),
    listening: `${links[1]!.subjects.hostCommand(1)}.nobody`,
    onBody: (body) => void strangers.push(body),
  });
  await Promise.all(links.map((link) => link.flush()));
  const bodies = Array.from({ length: 60 }, (_, index) => ({ index, text: "x".repeat(index) }));
  for (const body of bodies) {
    for (const channel of channels) channel.send(body);
    if (body.index % 20 === 0) await delay(30);
  }
  old.send("of an agent that was here before");
  await within(
    Promise.all(channels.map((channel) => channel.empty)),
    30_000,
    () => new Error(`${got.map(({ length }) => length)} of ${bodies.length} have come`),
  );
  assert.deepEqual(got, [bodies, bodies]);
  assert.deepEqual(strangers, []);
  for (const fate of ["drop", "late", "overtaken", "damage"] as const) {
    assert.ok(network.fates[fate] > 0, fate);
  }
  for (const channel of [...channels, old]) channel.close();
  await Promise.all(links.map((link) => link.close()));
});

Deno.test("HostConversation answers calls, passes failures on with the name of the host, and ends those in progress", async () => {
  await using server = await startPlainServer();
  const run = makeRunIdentity("talk");
  const [one, two] = await Promise.all(
    ["coordinator", "host 1"].map((from) => Link.open({ url: server.url }, run, from)),
  ) as [Link, Link];
  const noticed: Json[] = [];
  const { subjects } = one;
  const coordinator = new HostConversation({
    ...{ link: one, session: ends.a, peer: "Host 1 (lab2)", calls: {}, notices: {} },
    ...{ speaking: subjects.hostCommand(1), listening: subjects.hostEvent(1) },
  });
  const agent = new HostConversation({
    ...{ link: two, session: ends.a, peer: "The coordinator" },
    ...{ speaking: subjects.hostEvent(1), listening: subjects.hostCommand(1) },
    calls: {
      double: (args) => 2 * (args as number),
      refuse: () => Promise.reject(new UsageError("There is no GPU here")),
      named: () => Promise.reject(new LockstepError("Host 1 (lab2) has no images")),
      never: () => new Promise(() => {}),
    },
    notices: { grant: (args) => void noticed.push(args) },
  });
  await Promise.all([one.flush(), two.flush()]);
  coordinator.notify("grant", "continue");
  assert.equal(await coordinator.call("double", 21), 42);
  assert.deepEqual(noticed, ["continue"]);
  await assert.rejects(coordinator.call("refuse", null), {
    name: "UsageError",
    message: "Host 1 (lab2): There is no GPU here",
  });
  await assert.rejects(coordinator.call("named", null), {
    name: "LockstepError",
    message: "Host 1 (lab2) has no images",
  });
  await assert.rejects(coordinator.call("unknown", null), /Unknown call: unknown/);
  const stop = new AbortController();
  const stopped = coordinator.call("never", null, stop.signal);
  const ended = coordinator.call("never", null);
  stop.abort(new Error("stopped"));
  await assert.rejects(stopped, /stopped/);
  coordinator.end(new LockstepError("Host 1 (lab2) is gone"));
  await assert.rejects(ended, { message: "Host 1 (lab2) is gone" });
  await assert.rejects(coordinator.call("double", 1), { message: "Host 1 (lab2) is gone" });
  agent.end(new Error("over"));
  await Promise.all([one.close(), two.close()]);
});
