/**
 * State of a replica: parameters, running statistics, averages and the optimizer's state, in memory that it may
 * share with other ranks.
 *
 * @module
 */
import { bytesIn, type FloatRange, overlap } from "../base/float_range.ts";
import { loneBuffers, type StepBuffers } from "../exchange/step_buffers.ts";
import type { tf } from "../engine/tf.ts";
import { readInto, tensorFrom } from "../engine/transfer.ts";
import { type Parameter, parametersOf } from "../models/parameters.ts";
import { newShareOfSteps, WeightAverages } from "../optim/averages.ts";
import type { EmaConfig } from "../optim/config.ts";
import { type FlatLayout, layOut } from "../optim/flat_layout.ts";
import { Optimizer, type OptimizerOptions } from "../optim/optimizer.ts";
import { BoundVariables } from "./bound_variables.ts";

/** The step of an update, and the quantities that belong to it. */
export interface ReplicaUpdate {
  /** Learning rates, one per group of parameters. */
  readonly rates: readonly number[];
  /** Optimizer step of the run, counted from 1. */
  readonly step: number;
  /**
   * Sum of the squares of the gradients over the ranks; needed where their norm is clipped. See
   * {@linkcode ReplicaState.clipAndSumSquares}.
   */
  readonly squares: number;
  /** True when there are gradients to learn from (default true): not where all samples' classes have weight 0. */
  readonly learns?: boolean;
  /** True when there are new running statistics (default true): not where no sample counts in them. */
  readonly hasStatistics?: boolean;
  /** Share of the new values in the averages; by the rule `steps` unless given. */
  readonly newShare?: number;
}

/** A part of a state: {@linkcode ReplicaState.exportState}. */
export interface StatePart {
  /** True when the part has parameters, statistics and averages. */
  readonly model: boolean;
  /** The range of the optimizer's state in the part. */
  readonly shard: FloatRange;
}

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** The buffers on which a replica works, and the parts that are views of them. */
interface Attached {
  readonly buffers: StepBuffers;
  readonly values: BoundVariables;
  readonly averages?: { readonly bound: BoundVariables; readonly update: WeightAverages };
}

/**
 * The state of a replica. The flat vector holds the parameters that learn, then the running statistics of the
 * BatchNorm layers that are training, each at a cache line; gradients, averages and the optimizer's tensors have the
 * same layout.
 */
export class ReplicaState implements Disposable {
  readonly parameters: readonly Parameter[];
  readonly optimizer: Optimizer;
  /** The variables of the exchanged vector: parameters that learn, then statistics. */
  readonly exchanged: readonly tf.Variable[];
  /** The first ones of them, which have gradients. */
  readonly learning: readonly tf.Variable[];
  readonly layout: FlatLayout;
  readonly #ema: EmaConfig | undefined;
  #attached: Attached | undefined;

  /** @throws {UsageError} when a group of parameters matches none */
  constructor(model: tf.LayersModel, options: OptimizerOptions, ema: EmaConfig | undefined) {
    this.parameters = parametersOf(model);
    this.#ema = ema;
    const { trainable } = this;
    const statistics = this.parameters.filter(({ buffer, trainable }) => buffer && trainable);
    this.learning = trainable.map(({ variable }) => variable);
    this.exchanged = [...this.learning, ...statistics.map(({ variable }) => variable)];
    const sizes = this.exchanged.map(({ size }) => size);
    this.layout = layOut(sizes);
    const placed = trainable.map(({ name }, index) => ({ name, place: this.layout.places[index] }));
    this.optimizer = new Optimizer(placed, options, layOut(sizes.slice(0, placed.length)).floats);
  }

  /** The parameters that the optimizer changes, in order. */
  get trainable(): Parameter[] {
    return this.parameters.filter(({ buffer, trainable }) => !buffer && trainable);
  }

  get vectorBytes(): number {
    return FLOAT_BYTES * this.layout.floats;
  }

  /** Bytes of an exchanged vector that hold gradients; running statistics follow them. */
  get gradientBytes(): number {
    return FLOAT_BYTES * (this.layout.places[this.learning.length]?.begin ?? this.layout.floats);
  }

  /** Vectors that all ranks have in common: the values, and their averages where such are kept. */
  get regions(): number {
    return this.#ema ? 2 : 1;
  }

  /** The memory of the vectors: the state's own, unless other buffers were attached. */
  get buffers(): StepBuffers {
    return this.#parts.buffers;
  }

  /**
   * Moves into other buffers, with the present values; the optimizer's state begins anew.
   *
   * @throws {RangeError} when they are too small
   */
  attach(buffers: StepBuffers): void {
    const { vectorBytes, exchanged, layout } = this;
    const given = [buffers.vector, buffers.reduced, ...buffers.regions];
    if (buffers.regions.length < this.regions || given.some((v) => v.length !== vectorBytes)) {
      throw new RangeError(
        `${buffers.regions.length} vectors of ${buffers.vector.length} bytes for ${this.regions} of ${vectorBytes}`,
      );
    }
    const [region, averaged] = buffers.regions;
    const values = new BoundVariables(exchanged, layout, region);
    values.collect();
    this.#release();
    const range = buffers.shard;
    this.optimizer.attach({ values: region, gradients: buffers.reduced, range });
    let averages: Attached["averages"];
    if (this.#ema) {
      const update = new WeightAverages({ values: region, averages: averaged, range });
      update.reset();
      averages = { bound: new BoundVariables(exchanged, layout, averaged), update };
    }
    this.#attached = { buffers, values, ...(averages ? { averages } : {}) };
  }

  /** The values in memory are those of the variables, whoever has set these. */
  collect(): void {
    if (this.#parts.values.collect()) this.optimizer.reload();
  }

  /** Binds the variables to the values in memory, whatever was assigned to them since. */
  restore(): void {
    this.#parts.values.bind();
  }

  /**
   * Clips the summed gradients of some ranges by their values, where that is set. Each range of the sum must be
   * clipped once before the update.
   *
   * @returns The sum of their squares, added range by range, where the update needs it, else 0
   */
  clipAndSumSquares(ranges: readonly FloatRange[]): number {
    return ranges.reduce((sum, range) => sum + this.optimizer.clipAndSumSquares(range), 0);
  }

  /** Takes the optimizer's step and takes over the reduced statistics, in the range of this rank's shard. */
  async update(update: ReplicaUpdate): Promise<void> {
    const { buffers: { shard, reduced, regions: [values] }, averages } = this.#parts;
    const { rates, step, squares, learns = true, hasStatistics = true } = update;
    if (learns) await this.optimizer.step({ rates, step, squares });
    if (hasStatistics) {
      const learning = this.layout.places[this.learning.length]?.begin ?? this.layout.floats;
      const statistics = overlap(shard, { begin: learning, end: this.layout.floats });
      bytesIn(values, statistics).set(bytesIn(reduced, statistics));
    }
    if (!learns || !averages) return;
    await averages.update.update(update.newShare ?? newShareOfSteps(this.#ema!, step));
  }

  /** Tells whether the weights are averaged over the steps. */
  get hasAverages(): boolean {
    return this.#ema !== undefined;
  }

  /** Begins the averages anew with the present weights. */
  resetAverages(): void {
    this.collect();
    this.#parts.averages?.update.reset();
  }

  /** Runs `action` with the averaged weights in place of the present ones, where there are averages. */
  async withAverages<T>(action: () => T | Promise<T>): Promise<T> {
    const { values, averages } = this.#parts;
    if (!averages) return await action();
    this.collect();
    averages.bound.bind();
    try {
      return await action();
    } finally {
      if (averages.bound.collect()) averages.update.reload();
      values.bind();
    }
  }

  /** Bytes of a whole state. */
  get stateBytes(): number {
    const all = { begin: 0, end: this.layout.floats };
    return this.#bytesOf({ model: true, shard: all });
  }

  /**
   * Returns this rank's part of the state: with `model` all parameters, buffers and averages, then its shard of the
   * optimizer's tensors. All float32.
   */
  exportState(model = true): { bytes: Uint8Array<ArrayBuffer>; part: StatePart } {
    this.collect();
    const { shard, regions } = this.buffers;
    const part = { model, shard };
    const bytes = new Uint8Array(this.#bytesOf(part));
    let offset = 0;
    const next = (length: number) => bytes.subarray(offset, offset += length);
    if (model) {
      for (const { variable } of this.parameters) {
        readInto(variable, next(FLOAT_BYTES * variable.size));
      }
      if (this.#ema) next(this.vectorBytes).set(regions[1]);
    }
    this.optimizer.slots.forEach((_, slot) =>
      next(bytesIn(regions[0], shard).length).set(bytesIn(this.slotVector(slot), shard))
    );
    return { bytes, part };
  }

  /**
   * Takes over a part of a state that {@linkcode exportState} of an equal replica gave; the whole unless `part` says
   * what it is.
   *
   * @throws {RangeError} when it has another size
   */
  importState(bytes: Uint8Array, part?: StatePart): void {
    const { buffers: { regions }, averages } = this.#parts;
    const { model, shard } = part ?? { model: true, shard: { begin: 0, end: this.layout.floats } };
    const expected = this.#bytesOf({ model, shard });
    if (bytes.byteLength !== expected) {
      throw new RangeError(`State has ${bytes.byteLength} bytes, expected ${expected}`);
    }
    let offset = 0;
    const next = (length: number) => bytes.subarray(offset, offset += length);
    if (model) {
      for (const { variable } of this.parameters) {
        const value = tensorFrom(variable.shape, "float32", next(FLOAT_BYTES * variable.size));
        variable.assign(value);
        value.dispose();
      }
      this.collect();
      if (averages) {
        regions[1].set(next(this.vectorBytes));
        averages.update.reload();
      }
    }
    this.optimizer.slots.forEach((_, slot) => {
      const vector = part ? this.slotVector(slot) : new Uint8Array(this.vectorBytes);
      const target = bytesIn(vector, shard);
      target.set(next(target.length));
      this.optimizer.writeSlot(slot, vector);
    });
  }

  /** A copy of one of the optimizer's tensors in the vector's layout, in the range of this rank's shard. */
  slotVector(slot: number): Uint8Array<ArrayBuffer> {
    const vector = new Uint8Array(this.vectorBytes);
    this.optimizer.readSlot(slot, vector);
    return vector;
  }

  #bytesOf({ model, shard: { begin, end } }: StatePart): number {
    const sizes = this.parameters.reduce((sum, { variable }) => sum + variable.size, 0);
    const averages = this.#ema ? this.vectorBytes : 0;
    const slots = this.optimizer.slots.length * FLOAT_BYTES * (end - begin);
    return slots + (model ? FLOAT_BYTES * sizes + averages : 0);
  }

  get #parts(): Attached {
    if (!this.#attached) this.attach(loneBuffers(this.vectorBytes, this.regions));
    return this.#attached!;
  }

  #release(): void {
    const { values, averages } = this.#attached ?? {};
    for (const held of [values, averages?.bound, averages?.update]) held?.[Symbol.dispose]();
    this.#attached = undefined;
  }

  /** Releases the optimizer's state; the model stays as it is. */
  [Symbol.dispose](): void {
    this.#release();
    this.optimizer[Symbol.dispose]();
  }
}
