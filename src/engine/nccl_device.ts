/**
 * The GPU of the open engine, as an exchange by NCCL uses it.
 *
 * @module
 */
import type { FloatRange } from "../base/float_range.ts";
import { anyNonFinite } from "./array_ops.ts";
import { CudaStream } from "./binding/cuda_memory.ts";
import { nvidiaFolder } from "./binding/cuda_libraries.ts";
import { Nccl } from "./binding/nccl.ts";
import { allocateDeviceMemory, type DeviceMemory } from "./device_memory.ts";
import { openEngine } from "./engine.ts";
import { tf } from "./tf.ts";
import { readAsync } from "./transfer.ts";

/** A stream of a GPU, for sums. */
export interface SumStream extends Disposable {
  readonly handle: bigint;
  /** Sets memory of the GPU to 0, before anything that is enqueued later. */
  clear(address: bigint, byteLength: number): void;
  /** Waits until all that was enqueued is done. */
  done(): Promise<void>;
}

/** A rank's GPU. */
export interface NcclDevice {
  /** Tells it from others: the name that CUDA takes, `GPU-…` or `MIG-…`. */
  readonly uuid: string;
  /**
   * Opens NCCL.
   *
   * @throws {LockstepError} when it is missing, doesn't load, or is too old
   */
  open(deterministic: boolean): Promise<Nccl>;
  /** Makes a stream. */
  stream(): SumStream;
  /** Allocates zeros. */
  allocate(byteLength: number): DeviceMemory;
  /**
   * Tells whether all values in a range are finite, when all ops that were given before are done.
   *
   * @param memory Of this GPU
   */
  isFinite(memory: DeviceMemory, range: FloatRange): Promise<boolean>;
}

/**
 * The GPU that the open engine computes on.
 *
 * @param uuid Its name for CUDA
 */
export function engineGpu(uuid: string): NcclDevice {
  return {
    uuid,
    open: async (deterministic) => {
      const { libraryPath } = await openEngine();
      return Nccl.open({ nvidia: nvidiaFolder(Deno.realPathSync(libraryPath)), deterministic });
    },
    stream: () => new CudaStream(),
    allocate: allocateDeviceMemory,
    isFinite,
  };
}

async function isFinite(memory: DeviceMemory, { begin, end }: FloatRange): Promise<boolean> {
  if (begin === end) return true;
  const floats = memory.byteLength / Float32Array.BYTES_PER_ELEMENT;
  const found = tf.tidy(() => {
    // A view begins at a multiple of 64 bytes, which a range needn't.
    const values = memory.view([floats]);
    const wanted = end - begin === floats ? values : tf.slice(values, [begin], [end - begin]);
    return anyNonFinite(wanted);
  });
  try {
    const [bad] = await readAsync(found);
    return bad === 0;
  } finally {
    found.dispose();
  }
}
