/**
 * Elementwise computations on ranges of device memory: a fused loop where the memory is the CPU's, else TensorFlow's
 * ops in one captured function.
 *
 * @module
 */
import { bytesIn, type FloatRange } from "../../base/float_range.ts";
import { type DeviceMemory, hostOf } from "../device_memory.ts";
import type { ElementOps, Elementwise } from "../elementwise.ts";
import { firstRow, putInto } from "../inplace_ops.ts";
import { tf } from "../tf.ts";
import { tensorFrom } from "../transfer.ts";
import { KernelThreads } from "../kernel_threads.ts";
import { compileKernel } from "../wasm_kernel.ts";
import { CapturedFunction } from "./capture.ts";

/** The computation of one range. Ranges begin at cache lines, and are as long in all memories. */
export interface RangeJob {
  readonly range: FloatRange;
  readonly outputs: readonly DeviceMemory[];
  readonly inputs: readonly DeviceMemory[];
  readonly numbers: readonly number[];
}

/** The operations as TensorFlow's. */
export const TENSOR_OPS: ElementOps<tf.Tensor> = {
  add: (a, b) => tf.add(a, b),
  sub: (a, b) => tf.sub(a, b),
  mul: (a, b) => tf.mul(a, b),
  div: (a, b) => tf.div(a, b),
  min: (a, b) => tf.minimum(a, b),
  max: (a, b) => tf.maximum(a, b),
  sqrt: (a) => tf.sqrt(a),
};

/** A computation that is run again and again. */
export class VectorPass implements Disposable {
  readonly #computation: Elementwise;
  readonly #fn: CapturedFunction;
  #kernel: KernelThreads | undefined;

  /** @param name For errors and profiles */
  constructor(name: string, computation: Elementwise) {
    this.#computation = computation;
    this.#fn = new CapturedFunction(
      name,
      (numbers, ...tensors) => this.#trace(numbers, tensors),
      { variables: () => [], capture: true, random: false },
    );
  }

  /**
   * Runs the computation on some ranges, whose memories are all of one device.
   *
   * @param shared float32 [k], computed on the device: the last numbers of every job
   */
  async run(jobs: readonly RangeJob[], shared?: tf.Tensor): Promise<void> {
    if (jobs.length === 0) return;
    if (!jobs[0].inputs[0].host) return await this.#runOnDevice(jobs, shared);
    this.#kernel ??= new KernelThreads(compileKernel(this.#computation));
    await this.#kernel.run(jobs.map(({ range, outputs, inputs, numbers }) => ({
      outputs: outputs.map((memory) => bytesIn(hostOf(memory), range)),
      inputs: inputs.map((memory) => bytesIn(hostOf(memory), range)),
      numbers,
    })));
  }

  async #runOnDevice(jobs: readonly RangeJob[], shared?: tf.Tensor): Promise<void> {
    const floats = Float32Array.from(jobs.flatMap(({ numbers }) => numbers));
    const own = tensorFrom([floats.length], "float32", new Uint8Array(floats.buffer));
    const views = jobs.flatMap(({ range: { begin, end }, outputs, inputs }) =>
      [...outputs, ...inputs].map((memory) => memory.view([1, end - begin], begin))
    );
    const numbers = shared ? tf.concat([own, shared]) : own;
    try {
      tf.dispose(await this.#fn.call([numbers, ...views]));
    } finally {
      tf.dispose([own, numbers, ...views]);
    }
  }

  #trace(numbers: tf.Tensor, tensors: readonly tf.Tensor[]): tf.Tensor[] {
    const { inputs, outputs, numbers: perJob } = this.#computation;
    const jobs = tensors.length / (inputs + outputs);
    const scalars = tf.split(numbers, numbers.size);
    // size = jobs · own + shared, own + shared = perJob
    const ownCount = jobs === 1 ? perJob : (numbers.size - perJob) / (jobs - 1);
    const row = firstRow();
    return Array.from({ length: jobs }, (_, job) => {
      const at = job * (inputs + outputs);
      const targets = tensors.slice(at, at + outputs);
      const sources = tensors.slice(at + outputs, at + outputs + inputs);
      const own = scalars.slice(job * ownCount, (job + 1) * ownCount);
      const values = this.#computation.compute(TENSOR_OPS, sources, [
        ...own,
        ...scalars.slice(jobs * ownCount),
      ]);
      return targets.map((target, index) => putInto(target, values[index], row));
    }).flat();
  }

  /** Releases the traced functions, and ends the threads. */
  [Symbol.dispose](): void {
    this.#fn.dispose();
    this.#kernel?.[Symbol.dispose]();
  }
}
