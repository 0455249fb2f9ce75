import assert from "node:assert/strict";
import { alignedBytes } from "../../src/base/aligned_memory.ts";
import { hostMemory, hostOf } from "../../src/engine/device_memory.ts";
import { VersionedMemory } from "../../src/engine/versioned_memory.ts";

Deno.test("a commit makes the next version the current one, and the other memory the next", () => {
  const [a, b] = [hostMemory(alignedBytes(64)), hostMemory(alignedBytes(64))];
  const memory = new VersionedMemory(a, b);
  assert.deepEqual([memory.byteLength, memory.current, memory.next], [64, a, b]);
  hostOf(memory.next)[0] = 7;
  assert.equal(hostOf(memory.current)[0], 0);
  memory.commit();
  assert.deepEqual([hostOf(memory.current)[0], memory.next], [7, a]);
  memory.commit();
  assert.equal(memory.current, a);
});

Deno.test("the next version is made when it is first needed, once", () => {
  let made = 0;
  const memory = new VersionedMemory(hostMemory(alignedBytes(64)), () => {
    made++;
    return hostMemory(alignedBytes(64));
  });
  assert.equal(memory.current.byteLength, 64);
  assert.equal(made, 0);
  const { next } = memory;
  memory.commit();
  assert.equal(memory.current, next);
  assert.ok(memory.next);
  assert.equal(made, 1);
});
