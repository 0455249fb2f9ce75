import assert from "node:assert/strict";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { configFor } from "../../../src/engine/binding/runtime.ts";

/** Fields of a message, by number; nested messages as bytes. */
function fieldsOf(bytes: Uint8Array): Map<number, unknown> {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, unknown>();
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    fields.set(field, type === 0 ? reader.int32() : type === 1 ? reader.double() : reader.bytes());
  }
  return fields;
}

Deno.test("configFor() asks for no GPU, or for one whose memory grows up to a limit", () => {
  const threads = { intraOp: 3, interOp: 1 };
  const onCpu = fieldsOf(configFor({ threads }));
  assert.deepEqual([onCpu.get(2), onCpu.get(5)], [3, 1]);
  const count = fieldsOf(onCpu.get(1) as Uint8Array);
  assert.equal(new TextDecoder().decode(count.get(1) as Uint8Array), "GPU");
  assert.equal(count.get(2), 0);
  const gpuOptions = (memoryFraction?: number) => {
    const config = fieldsOf(configFor({ threads, gpu: { memoryFraction } }));
    assert.equal(config.get(1), undefined);
    return fieldsOf(config.get(6) as Uint8Array);
  };
  assert.equal(gpuOptions().get(4), 1, "allow_growth");
  assert.equal(new TextDecoder().decode(gpuOptions().get(5) as Uint8Array), "0");
  assert.equal(gpuOptions().get(1), undefined);
  assert.equal(gpuOptions(0.25).get(1), 0.25);
});
