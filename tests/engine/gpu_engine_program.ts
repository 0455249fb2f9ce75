/**
 * Opens the engine and prints what came of it as JSON; an argument each for the device and the limit of memory.
 *
 * @module
 */
import { alignedBytes } from "../../src/base/aligned_memory.ts";
import { messageOf } from "../../src/base/errors.ts";
import { nativeBackend } from "../../src/engine/backend.ts";
import { nativeVariable } from "../../src/engine/binding/native_environment.ts";
import { type NativeEngine, openEngine } from "../../src/engine/engine.ts";
import { viewOf } from "../../src/engine/transfer.ts";

const [device, gpuMemory] = Deno.args;

/** Reads through an op of the GPU what a view shows, before and after its memory has changed. */
function readChangedView({ runtime }: NativeEngine): number[] {
  const bytes = alignedBytes(16);
  const floats = new Float32Array(bytes.buffer, bytes.byteOffset, 4);
  const [view] = nativeBackend().getInputTensorIds([viewOf([4], bytes)]);
  return [3, 5].map((value) => {
    floats.fill(value);
    const shape = runtime.createTensor([1], 3, Int32Array.of(4));
    const [{ id }] = runtime.execute("Reshape", [], [view, shape]);
    return (runtime.read(id) as Float32Array)[0];
  });
}

try {
  const engine = await openEngine({
    device: device as "auto" | "cpu" | "gpu",
    ...(gpuMemory ? { gpuMemory: Number(gpuMemory) } : {}),
  });
  console.log(JSON.stringify({
    devices: engine.devices.map(({ name }) => name.replace(/^.*device:/, "")),
    gpu: engine.gpu?.name,
    read: engine.gpu ? readChangedView(engine) : undefined,
    memory: engine.gpu?.memory(),
    xlaFlags: nativeVariable("XLA_FLAGS"),
    cache: nativeVariable("CUDA_CACHE_PATH"),
    cacheBytes: nativeVariable("CUDA_CACHE_MAXSIZE"),
  }));
} catch (error) {
  console.log(JSON.stringify({ error: messageOf(error) }));
}
