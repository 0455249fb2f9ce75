/**
 * Copies of bytes to the GPU beside what it computes, through pinned memory.
 *
 * @module
 */
import {
  allocateCudaMemory,
  allocatePinned,
  copyOnThread,
  type CudaAddress,
  CudaEvent,
  CudaStream,
  freeCudaMemory,
  type PinnedMemory,
} from "./binding/cuda_memory.ts";

/** Bytes on their way to the GPU. */
export interface Upload {
  /** Resolves once the bytes may be overwritten. */
  readonly staged: Promise<void>;
  /** Resolves with the bytes' address on the GPU, a multiple of 256, once they are there. */
  readonly arrived: Promise<CudaAddress>;
  /** Gives the memory to a later upload; the ops that read it must be done. */
  release(): void;
}

/** Memory of one upload at a time, on both sides. */
class Slot implements Disposable {
  readonly byteLength: number;
  readonly #staging: PinnedMemory;
  readonly #address: CudaAddress;
  readonly #copied = new CudaEvent();

  constructor(byteLength: number) {
    this.byteLength = byteLength;
    this.#staging = allocatePinned(byteLength);
    try {
      this.#address = allocateCudaMemory(byteLength);
    } catch (error) {
      this.#staging[Symbol.dispose]();
      throw error;
    }
  }

  async stage(bytes: Uint8Array): Promise<void> {
    await copyOnThread(this.#staging.address, bytes);
  }

  async copy(byteLength: number, stream: CudaStream): Promise<CudaAddress> {
    stream.copy(this.#address, this.#staging.address, byteLength);
    this.#copied.record(stream);
    await this.#copied.reached();
    return this.#address;
  }

  [Symbol.dispose](): void {
    this.#copied[Symbol.dispose]();
    freeCudaMemory(this.#address);
    this.#staging[Symbol.dispose]();
  }
}

/** Uploads of one thread, on one stream. Their memory is used again: there is as much as there are uploads at once. */
export class Uploads implements Disposable {
  readonly #stream = new CudaStream();
  readonly #free: Slot[] = [];
  readonly #used = new Set<Slot>();

  /**
   * Begins an upload.
   *
   * @param bytes Must not be written to before it is staged
   * @throws {EngineError} when there is no memory for it
   */
  start(bytes: Uint8Array): Upload {
    const slot = this.#take(bytes.byteLength);
    const staged = slot.stage(bytes);
    const arrived = staged.then(() => slot.copy(bytes.byteLength, this.#stream));
    arrived.catch(() => {}); // whoever waits for it sees the error
    return {
      staged,
      arrived,
      release: () => {
        const free = () => {
          if (this.#used.delete(slot)) this.#free.push(slot);
        };
        arrived.then(free, free); // nobody may have waited for it
      },
    };
  }

  #take(byteLength: number): Slot {
    const at = this.#free.findIndex((slot) => slot.byteLength >= byteLength);
    let slot: Slot;
    if (at >= 0) [slot] = this.#free.splice(at, 1);
    else {
      this.#free.pop()?.[Symbol.dispose](); // too small
      slot = new Slot(byteLength);
    }
    this.#used.add(slot);
    return slot;
  }

  /** Frees the memory; no upload may be on its way. */
  [Symbol.dispose](): void {
    for (const slot of [...this.#free.splice(0), ...this.#used]) slot[Symbol.dispose]();
    this.#used.clear();
    this.#stream[Symbol.dispose]();
  }
}
