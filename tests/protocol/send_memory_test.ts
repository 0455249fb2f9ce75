import assert from "node:assert/strict";
import { OutgoingBuffer, SendMemory } from "../../src/protocol/send_memory.ts";

const MEGABYTE = 1_000_000;

Deno.test("SendMemory lends what was given back, and nothing twice", () => {
  const memory = new SendMemory();
  const [first, second] = [memory.take(MEGABYTE), memory.take(MEGABYTE)];
  assert.notEqual(first.buffer, second.buffer);
  memory.give(first.subarray(0, 10)); // a view of it will do
  memory.give(first);
  const third = memory.take(MEGABYTE - 5);
  assert.equal(third.buffer, first.buffer);
  assert.equal(third.length, MEGABYTE - 5);
  assert.notEqual(memory.take(MEGABYTE).buffer, first.buffer, "it was given back once");
});

Deno.test("SendMemory leaves other memory alone, and keeps no more than its limit", () => {
  const memory = new SendMemory();
  const own = new Uint8Array(MEGABYTE);
  memory.give(own);
  assert.notEqual(memory.take(MEGABYTE).buffer, own.buffer);
  assert.notEqual(memory.take(10).buffer.byteLength, 64 * 1024, "small memory is made anew");
  const many = Array.from({ length: 100 }, () => memory.take(MEGABYTE));
  const places = new Set<ArrayBufferLike>(many.map(({ buffer }) => buffer));
  assert.equal(places.size, 100);
  many.forEach((part) => memory.give(part));
  const again = Array.from({ length: 100 }, () => memory.take(MEGABYTE));
  assert.equal(again.filter(({ buffer }) => places.has(buffer)).length, 64, "64 MiB");
});

Deno.test("OutgoingBuffer joins its parts in order, in memory that comes back", () => {
  const memory = new SendMemory();
  const outgoing = new OutgoingBuffer(memory);
  let used: ArrayBufferLike | undefined;
  for (const value of [1, 2, 3]) {
    const parts = [[value], Array(MEGABYTE).fill(value + 1), [value + 2, 13, 10]]
      .map((bytes) => Uint8Array.from(bytes));
    outgoing.fill(parts[0], ...parts.slice(1));
    assert.equal(outgoing.size(), MEGABYTE + 4);
    const joined = outgoing.drain();
    assert.equal(outgoing.size(), 0);
    assert.deepEqual([...joined], parts.flatMap((part) => [...part]));
    assert.equal(joined.buffer, used ??= joined.buffer);
    memory.give(joined);
  }
});

Deno.test("OutgoingBuffer sends a single part as it is", () => {
  const memory = new SendMemory();
  const outgoing = new OutgoingBuffer(memory);
  const ping = new TextEncoder().encode("PING\r\n");
  outgoing.fill(ping);
  const sent = outgoing.drain();
  assert.equal(sent.buffer, ping.buffer);
  memory.give(sent);
  assert.deepEqual(ping, new TextEncoder().encode("PING\r\n"));
});
