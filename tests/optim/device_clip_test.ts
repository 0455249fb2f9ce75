import assert from "node:assert/strict";
import { alignedBytes } from "../../src/base/aligned_memory.ts";
import { floatsOf } from "../../src/base/float_range.ts";
import { hostMemory } from "../../src/engine/device_memory.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { clipFactor, sumOfSquares } from "../../src/optim/clip.ts";
import { DeviceClip } from "../../src/optim/device_clip.ts";

await openEngine();

Deno.test("DeviceClip computes the factor that the CPU does, of gradients without their scale", async () => {
  const values = Float32Array.from({ length: 48 }, (_, index) => 3 * Math.sin(index));
  const range = { begin: 16, end: 48 };
  for (const [scale, clipGradValue] of [[1, undefined], [1024, undefined], [1, 1], [1024, 1]]) {
    const bytes = alignedBytes(4 * values.length);
    floatsOf(bytes).set(values.map((value) => value * scale!));
    using clip = new DeviceClip({ clipGradNorm: 2, clipGradValue });
    const factor = await clip.factor(hostMemory(bytes), range, scale!);
    const squares = sumOfSquares(values.subarray(range.begin, range.end), clipGradValue);
    const expected = clipFactor(squares, 2);
    assert.ok(Math.abs(factor.dataSync()[0]! / expected - 1) < 1e-6, `scale ${scale}`);
    factor.dispose();
  }
});
