/**
 * The part of the tests of memory of the GPU that runs on a fake machine: prints what it finds as JSON.
 *
 * @module
 */
import { alignedBytes } from "../../src/base/aligned_memory.ts";
import { messageOf } from "../../src/base/errors.ts";
import { nativeBackend } from "../../src/engine/backend.ts";
import { DATA_TYPES, typeAttribute } from "../../src/engine/binding/attributes.ts";
import {
  allocateCudaMemory,
  allocatePinned,
  CudaEvent,
  CudaStream,
  freeCudaMemory,
  pinMemory,
} from "../../src/engine/binding/cuda_memory.ts";
import { EngineError } from "../../src/engine/binding/status.ts";
import { CapturedFunction } from "../../src/engine/capture/capture.ts";
import { allocateDeviceMemory } from "../../src/engine/device_memory.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { readAsync, readInto } from "../../src/engine/transfer.ts";
import type { DeviceRecord } from "../support/fake_cuda/record.ts";
import { FakeDriver } from "../support/fake_cuda/driver.ts";

const FLOATS = 4096;
const BYTES = 4 * FLOATS;

const FLOAT_TYPE = typeAttribute("T", DATA_TYPES.TF_FLOAT);

const [task] = Deno.args;
const { runtime, hasGpu } = await openEngine({ device: "gpu" });
const driver = new FakeDriver();

const TASKS: Record<string, () => Promise<unknown>> = {
  memory,
  copies,
  inPlace,
  errors: () => Promise.resolve(errors()),
  lost,
};
console.log(JSON.stringify(await TASKS[task]!()));

function counted(first: number): Uint8Array<ArrayBuffer> {
  const bytes = alignedBytes(BYTES);
  new Float32Array(bytes.buffer, bytes.byteOffset, FLOATS).forEach((_, index, floats) =>
    floats[index] = first + index
  );
  return bytes;
}

async function device(): Promise<DeviceRecord> {
  return (await driver.ownRecord()).devices[0]!;
}

/** Counts the copies of an action. */
async function copiesOf(action: () => Promise<void>) {
  const before = await device();
  await action();
  const after = await device();
  const keys = ["copiesUp", "bytesUp", "copiesDown", "bytesDown"] as const;
  return Object.fromEntries(keys.map((key) => [key, after[key] - before[key]]));
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, index) => byte === b[index]);
}

/** Copies in and out, and reads through views. */
async function memory() {
  using memory = allocateDeviceMemory(BYTES);
  const zeros = alignedBytes(BYTES).fill(1);
  await memory.download(zeros);
  const bytes = counted(1);
  await memory.upload(bytes);
  const back = alignedBytes(BYTES);
  await memory.download(back);
  const view = memory.view([4], 16);
  const [id] = nativeBackend().getInputTensorIds([view]);
  const first = Array.from(runtime.read(id) as Float32Array);
  await memory.upload(counted(2).subarray(64, 80), 64);
  const second = Array.from(await readAsync(view));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const reads = await Promise.all(Array.from({ length: 50 }, () => readAsync(view)));
  clearInterval(timer);
  const reading = readAsync(view);
  view.dispose();
  const asDisposed = Array.from(await reading);
  let outside;
  try {
    memory.view([FLOATS], 16);
  } catch (error) {
    outside = messageOf(error);
  }
  return {
    ...{ hasGpu, first, second, asDisposed, outside, ticks },
    isZero: zeros.every((byte) => byte === 0),
    isBack: isSame(bytes, back),
    areSame: reads.every((values) => values.join() === second.join()),
    host: memory.host === undefined,
  };
}

/** A chain of copies over two streams, through pinned memory that was there before and that CUDA allocates. */
async function copies() {
  const addresses = [allocateCudaMemory(BYTES), allocateCudaMemory(BYTES)] as const;
  using staged = allocatePinned(BYTES);
  const own = counted(7);
  using pinned = pinMemory(own);
  using up = new CudaStream();
  using down = new CudaStream();
  using event = new CudaEvent();
  const wrong = [];
  for (let round = 0; round < 20; round++) {
    own.set(counted(round));
    up.copy(addresses[0], pinned.address, BYTES);
    up.copy(addresses[1], addresses[0], BYTES);
    event.record(up);
    down.waitFor(event);
    down.copy(staged.address, addresses[1], BYTES);
    const wasEarly = !event.isReached;
    await down.done();
    await event.reached();
    if (!isSame(staged.bytes, own) || !event.isReached) wrong.push({ round, wasEarly });
  }
  // Whoever doesn't wait sees the poison.
  staged.bytes.fill(0);
  down.copy(staged.address, addresses[1], BYTES);
  const isEarly = !isSame(staged.bytes, own);
  await down.done();
  for (const address of addresses) freeCudaMemory(address);
  return { wrong, isEarly, used: (await device()).usedBytes };
}

/** Ops that write into our memory, eagerly and in a captured function. */
async function inPlace() {
  using memory = allocateDeviceMemory(BYTES);
  const view = memory.view([1, FLOATS]);
  const values = tf.tidy(() => tf.relu(memory.view([1, FLOATS])));
  const index = tf.tensor1d([0], "int32");
  const result: Record<string, unknown> = {};
  const ops = ["InplaceUpdate", "InplaceAdd"];
  const write = (op: string, value: tf.Tensor) =>
    nativeBackend().executeSingleOutput(op, [FLOAT_TYPE], [view, index, value]);
  for (const op of ops) {
    write(op, values).dispose();
    result[op] = await copiesOf(async () => {
      write(op, values).dispose();
      await Promise.resolve();
    });
  }
  const captured = new CapturedFunction(
    "in_place",
    (target, gradients) =>
      ops.map((op) =>
        tf.sum(
          nativeBackend().executeSingleOutput(op, [FLOAT_TYPE], [
            target,
            tf.tensor1d([0], "int32"),
            tf.mul(gradients, 2),
          ]),
        )
      ),
    { variables: () => [], capture: true },
  );
  tf.dispose(await captured.call([view, values]));
  const launches = (await device()).launches;
  let results: tf.Tensor[] = [];
  result.captured = await copiesOf(async () => {
    results = await captured.call([view, values]);
  });
  result.launches = (await device()).launches - launches;
  result.read = await copiesOf(async () => {
    await readAsync(results[0]!);
  });
  const [run] = await captured.profile([view, values], 1);
  result.devices = Object.fromEntries(
    run!.nodes.filter(({ op }) => ops.includes(op)).map(({ op, device }) => [op, device]),
  );
  // The ops' results are our memory, not copies of it.
  await memory.upload(counted(3));
  const alias = write("InplaceUpdate", values);
  const bytes = alignedBytes(BYTES);
  await memory.upload(counted(5));
  readInto(alias, bytes);
  result.isAlias = isSame(bytes, counted(5));
  return result;
}

function nameOf(action: () => unknown) {
  try {
    action();
    return undefined;
  } catch (error) {
    return error instanceof EngineError ? `${error.code}: ${error.message}` : messageOf(error);
  }
}

function errors() {
  const own = counted(1);
  using _ = pinMemory(own);
  return {
    twice: nameOf(() => pinMemory(own)),
    tooLarge: nameOf(() => allocateDeviceMemory(2 ** 40)),
    unaligned: nameOf(() => runtime.createDeviceView([1], DATA_TYPES.TF_FLOAT, 4n)),
    // The error of a call must not become one of TensorFlow's next kernel.
    after: nameOf(() => tf.square(tf.zeros([8]))),
  };
}

/** The device falls off the bus in the middle of the work. */
async function lost() {
  using memory = allocateDeviceMemory(BYTES);
  const tensorflow = nameOf(() => {
    for (;;) tf.relu(memory.view([1, FLOATS]));
  });
  try {
    await memory.download(alignedBytes(BYTES));
  } catch (error) {
    return { tensorflow, own: messageOf(error) };
  }
}
