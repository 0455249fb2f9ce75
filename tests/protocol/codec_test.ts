import assert from "node:assert/strict";
import fc from "fast-check";
import {
  checksum,
  decodeFrame,
  encodeFrame,
  FRAME_HEADER_BYTES,
  ProtocolError,
  writeFrameHeader,
} from "../../src/protocol/codec.ts";
import { anyTag, unsigned } from "../support/frames.ts";

Deno.test("encodeFrame() and decodeFrame() keep header and payload", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.uint8Array(), (header, payload) => {
      const frame = encodeFrame(header, payload, unsigned);
      const decoded = decodeFrame(frame, anyTag);
      assert.deepEqual(decoded.header, JSON.parse(JSON.stringify(header)));
      assert.deepEqual(decoded.payload, payload);
      assert.equal((frame.length - payload.length) % 4, 0);
    }),
  );
});

Deno.test("writeFrameHeader() makes the same frame in place", () => {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + 8).fill(9);
  writeFrameHeader(frame, { long: "x".repeat(300) }, unsigned);
  writeFrameHeader(frame, { name: "ü" }, unsigned); // leaves nothing of the longer one
  const { header, payload } = decodeFrame(frame, anyTag);
  assert.deepEqual(header, { name: "ü" });
  assert.deepEqual(payload, new Uint8Array(8).fill(9));
  assert.throws(() => writeFrameHeader(frame, { long: "x".repeat(600) }, unsigned), RangeError);
});

Deno.test("decodeFrame() refuses what is not a frame", () => {
  const whole = encodeFrame({ a: 1 }, undefined, unsigned);
  for (
    const bytes of [
      new Uint8Array(0),
      whole.subarray(0, 3),
      whole.subarray(0, whole.length - 2),
      new Uint8Array([255, 255, 255, 255, 1, 2]),
      new Uint8Array([4, 0, 0, 0, 0x7b, 0x7b, 0x7b, 0x7b]),
      encodeFrame({ a: 1 }, undefined, unsigned).map((byte, at) => at === 6 ? byte ^ 1 : byte),
      new Uint8Array([4, 0, 0, 0, 0xff, 0xfe, 0xff, 0xff]),
    ]
  ) {
    assert.throws(() => decodeFrame(bytes, anyTag), ProtocolError);
  }
});

Deno.test("decodeFrame() refuses JSON so deep that a walk over it would overflow the stack", () => {
  const nested = (depth: number) => {
    let value: unknown = [];
    for (let level = 1; level < depth; level++) value = [value];
    return encodeFrame({ "[[": value, '"': "[".repeat(100) }, undefined, unsigned);
  };
  assert.ok(decodeFrame(nested(63), anyTag));
  for (const depth of [64, 1000]) {
    assert.throws(
      () => decodeFrame(nested(depth), anyTag),
      /A header whose JSON is nested deeper than 64/,
    );
  }
});

Deno.test("checksum() is CRC-32 (its published check value) and sees every flipped bit", () => {
  assert.equal(checksum(new TextEncoder().encode("123456789")), 0xcbf43926);
  assert.equal(checksum(new Uint8Array(0)), 0);
  const bytes = Uint8Array.from({ length: 300 }, (_, index) => index * 7);
  const right = checksum(bytes);
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    bytes[bit >> 3] ^= 1 << (bit & 7);
    assert.notEqual(checksum(bytes), right);
    bytes[bit >> 3] ^= 1 << (bit & 7);
  }
});
