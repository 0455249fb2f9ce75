/**
 * A rank's fake GPU in a process that plays several ranks, for programs that run with a fake machine's environment.
 *
 * @module
 */
import { delay } from "../../../src/base/async.ts";
import { type Address, FakeDriver } from "./driver.ts";

let opened: FakeDriver | undefined;

/** Memory of a fake GPU: memory of this process, too. */
export interface FakeMemory {
  readonly address: Address;
  readonly floats: Float32Array<ArrayBuffer>;
}

/** A fake GPU and a stream on it. */
export class RankDevice {
  readonly driver: FakeDriver = opened ??= new FakeDriver();
  readonly device: number;
  readonly stream: Address;

  constructor(device: number) {
    this.device = device;
    this.enter();
    this.stream = this.driver.stream();
  }

  /** Makes the GPU that of this thread. */
  enter(): void {
    this.driver.makeCurrent(this.device);
  }

  /** Allocates memory. */
  allocate(floats: number): FakeMemory {
    this.enter();
    const bytes = Math.max(4, 4 * floats);
    const address = this.driver.allocate(bytes);
    const view = new Deno.UnsafePointerView(Deno.UnsafePointer.create(address)!);
    return { address, floats: new Float32Array(view.getArrayBuffer(bytes), 0, floats) };
  }

  /** Resolves when the stream has worked off all that it was given. */
  async done(): Promise<void> {
    for (;;) {
      this.enter();
      if (this.driver.raw.cuStreamQuery(this.stream) === 0) return;
      await delay(1);
    }
  }
}
