import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { bitSum } from "../../src/engine/bit_sums.ts";
import { tf } from "../../src/engine/tf.ts";
import { readInto, tensorFrom } from "../../src/engine/transfer.ts";
import { createModel } from "../../src/models/create_model.ts";
import { Replica } from "../../src/train/replica.ts";

await openEngine();

const OPTIMIZER = { settings: { optimizer: "sgd", momentum: 0, weightDecay: 0 }, lr: 0.1 } as never;

/** The bits of a tensor. */
function bytesOf(tensor: tf.Tensor): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4 * tensor.size);
  readInto(tensor, bytes);
  return bytes;
}

/** Gives a variable new bits. */
function setBytes(variable: tf.Variable, bytes: Uint8Array): void {
  const value = tensorFrom(variable.shape, "float32", bytes);
  variable.assign(value);
  value.dispose();
}

Deno.test("bitSum() adds words of 64 bits of any floats, and of an odd number of them", () => {
  for (const size of [1, 2, 7, 4096, 100_001]) {
    const bytes = new Uint8Array(4 * size);
    for (let at = 0; at < bytes.length; at++) bytes[at] = (at * 2654435761) >>> 11;
    const padded = new Uint8Array(8 * Math.ceil(size / 2));
    padded.set(bytes);
    const expected = new BigUint64Array(padded.buffer)
      .reduce((sum, word) => BigInt.asUintN(64, sum + word), 0n);
    const tensor = tensorFrom([size], "float32", bytes);
    const sum = bitSum(tensor);
    assert.equal(new BigUint64Array(bytesOf(sum).buffer)[0], expected, `${size} floats`);
    tf.dispose([tensor, sum]);
  }
});

Deno.test("a replica's digest is that of its bits: parameters that learn or not, and running statistics", async () => {
  const make = () => {
    const model = createModel("resnet18", { numClasses: 3, seed: 1, train: ["layer4.*", "fc.*"] });
    return new Replica(model, { optimizer: OPTIMIZER, capture: true });
  };
  using replica = make();
  using other = make();
  replica.state.collect(); // now its memory is its own
  const whole = await replica.digest();
  assert.ok(Number.isSafeInteger(whole) && whole > 0);
  assert.equal(await other.digest(), whole, "equal bits");
  const tensors = tf.memory().numTensors;
  const names = ["conv1.weight", "layer4.0.conv1.weight", "fc.bias", "layer4.1.bn2.running_var"];
  for (const name of names) {
    const { variable } = replica.state.parameters.find((parameter) => parameter.name === name)!;
    const before = bytesOf(variable);
    for (const [byte, bit] of [[0, 1], [before.length - 1, 0x80], [before.length >> 1, 4]]) {
      const flipped = before.slice();
      flipped[byte!]! ^= bit!;
      setBytes(variable, flipped);
      assert.notEqual(await replica.digest(), whole, `bit ${bit} of byte ${byte} of ${name}`);
    }
    setBytes(variable, before);
    assert.equal(await replica.digest(), whole, name);
  }
  await replica.flipBit();
  assert.notEqual(await replica.digest(), whole, "the fault hook changes a bit");
  await replica.flipBit();
  assert.equal(await replica.digest(), whole, "and changes it back");
  assert.equal(tf.memory().numTensors, tensors, "nothing leaks");
});
