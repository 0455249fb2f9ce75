import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createCipheriv, createHmac } from "node:crypto";
import { makeLinkName, makeMessageKey, MessageKey } from "../../src/protocol/authentication.ts";
import { SeenMessages } from "../../src/protocol/replay_window.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const at = { link: "a-link", number: 5 };

Deno.test("MessageKey.sign() is HMAC-SHA-256 over the subject and the header", () => {
  const key = makeMessageKey();
  const tag = createHmac("sha256", Buffer.from(key, "base64url"))
    .update("header lockstep.run.reply\n{}").digest();
  assert.deepEqual(new MessageKey(key).sign("lockstep.run.reply", bytes("{}")), tag);
});

Deno.test("MessageKey.verify() holds for the same key, subject and header alone", () => {
  const text = makeMessageKey();
  const key = new MessageKey(text);
  const tag = key.sign("a.b", bytes("header"));
  assert.ok(new MessageKey(text).verify("a.b", bytes("header"), tag));
  assert.ok(!key.verify("a.c", bytes("header"), tag));
  assert.ok(!key.verify("a.b", bytes("headex"), tag));
  assert.ok(!key.verify("a.b\nheader", bytes(""), tag));
  assert.ok(!key.verify("a.b", bytes("header"), tag.subarray(1)));
  assert.ok(!new MessageKey(makeMessageKey()).verify("a.b", bytes("header"), tag));
});

Deno.test("MessageKey.signPayload() is the tag of ChaCha20-Poly1305 by a key of the link", () => {
  const text = makeMessageKey();
  const payload = Uint8Array.from({ length: 1000 }, (_, index) => index * 7);
  const own = createHmac("sha256", Buffer.from(text, "base64url")).update("payloads of a-link")
    .digest();
  const nonce = Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  const cipher = createCipheriv("chacha20-poly1305", own, nonce, { authTagLength: 16 });
  cipher.setAAD(payload, { plaintextLength: 0 });
  cipher.final();
  assert.equal(
    new MessageKey(text).signPayload(at, payload),
    cipher.getAuthTag().toString("base64url"),
  );
});

Deno.test("MessageKey.verifyPayload() holds for the same key, message and payload alone", () => {
  const key = new MessageKey(makeMessageKey());
  const payload = bytes("gradients");
  const tag = key.signPayload(at, payload);
  assert.ok(key.verifyPayload(at, payload, tag));
  assert.ok(!key.verifyPayload({ ...at, number: 6 }, payload, tag));
  assert.ok(!key.verifyPayload({ ...at, link: "b-link" }, payload, tag));
  assert.ok(!key.verifyPayload(at, bytes("gradientz"), tag));
  assert.ok(!key.verifyPayload(at, payload, tag.slice(2)));
  assert.ok(!key.verifyPayload(at, payload, ""));
  assert.notEqual(tag, key.signPayload({ ...at, number: 6 }, payload));
});

Deno.test("makeMessageKey() and makeLinkName() have 256 and 128 random bits", () => {
  assert.equal(Buffer.from(makeMessageKey(), "base64url").length, 32);
  assert.equal(Buffer.from(makeLinkName(), "base64url").length, 16);
  assert.notEqual(makeMessageKey(), makeMessageKey());
});

Deno.test("SeenMessages has each number once, and all before the first one and behind the window", () => {
  const seen = new SeenMessages();
  const accept = (number: number, link = "a") => {
    const isNew = !seen.has({ link, number });
    if (isNew) seen.add({ link, number });
    return isNew;
  };
  assert.ok(accept(10));
  assert.deepEqual([9, 10, 1].map((number) => accept(number)), [false, false, false]);
  assert.ok(accept(9, "b"), "each link has numbers of its own");
  assert.deepEqual([13, 11, 12, 11, 13].map((number) => accept(number)), [
    true,
    true,
    true,
    false,
    false,
  ]);
  assert.ok(accept(13 + 1023), "14 is the oldest that may still come");
  assert.deepEqual([13, 14, 14, 1000, 1000].map((number) => accept(number)), [
    false,
    true,
    false,
    true,
    false,
  ]);
  assert.ok(accept(1_000_000));
  assert.deepEqual([1036, 999_999, 998_976, 998_977].map((number) => accept(number)), [
    false,
    true,
    false,
    true,
  ]);
});

Deno.test("SeenMessages agrees with a set of all numbers, in any order within the window", () => {
  const seen = new SeenMessages();
  const all = new Set<number>();
  let state = 1;
  let highest = 0;
  for (let time = 0; time < 20_000; time++) {
    state = (state * 48_271) % 2_147_483_647;
    const number = Math.max(1, highest + 3 - state % 900);
    const isNew = !seen.has({ link: "a", number });
    if (all.size > 0 && number > 1) assert.equal(isNew, !all.has(number), String(number));
    if (!isNew) continue;
    seen.add({ link: "a", number });
    if (all.size === 0) { for (let below = 1; below < number; below++) all.add(below); }
    all.add(number);
    highest = Math.max(highest, number);
  }
  assert.ok(highest > 100);
});
