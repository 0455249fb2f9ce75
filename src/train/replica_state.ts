/**
 * State of a replica: parameters, running statistics, averages and the optimizer's state, in memory that it may
 * share with other ranks.
 *
 * @module
 */
import { faultPoint } from "../base/fault_point.ts";
import { findNonFinite } from "../base/float32.ts";
import { type FloatRange, overlap } from "../base/float_range.ts";
import { itemAt } from "../base/item_at.ts";
import { TensorStore } from "../engine/capture/tensor_store.ts";
import { copyRange, fillWithZeros } from "../engine/device_memory.ts";
import type { VersionedMemory } from "../engine/versioned_memory.ts";
import { disposeBuffers, loneBuffers, type StepBuffers } from "../exchange/step_buffers.ts";
import type { tf } from "../engine/tf.ts";
import { placed, readInto, tensorFrom } from "../engine/transfer.ts";
import { isGpuOpen } from "../engine/native_runtime.ts";
import { type Parameter, parametersOf } from "../models/parameters.ts";
import { newShareOfSteps, WeightAverages } from "../optim/averages.ts";
import type { EmaConfig } from "../optim/config.ts";
import { type FlatLayout, layOut } from "../optim/flat_layout.ts";
import { Optimizer, type OptimizerOptions } from "../optim/optimizer.ts";
import { VersionedVariables } from "./versioned_variables.ts";

/** The step of an update, and the quantities that belong to it. */
export interface ReplicaUpdate {
  /** Learning rates, one per group of parameters. */
  readonly rates: readonly number[];
  /** Optimizer step of the run, counted from 1. */
  readonly step: number;
  /**
   * Sum of the squares of the gradients over the ranks; needed where their norm is clipped. See
   * {@linkcode ReplicaState.sumSquares}.
   */
  readonly squares: number;
  /** True when there are gradients to learn from (default true): not where all samples' classes have weight 0. */
  readonly learns?: boolean;
  /** True when there are new running statistics (default true): not where no sample counts in them. */
  readonly hasStatistics?: boolean;
  /** Factor of the loss whose gradients these are (default 1). */
  readonly scale?: number;
  /** Share of the new values in the averages; by the rule `steps` unless given. */
  readonly newShare?: number;
}

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** The buffers on which a replica works, and the parts that are views of them. */
interface Attached {
  readonly buffers: StepBuffers;
  readonly values: VersionedVariables;
  readonly slots: readonly VersionedMemory[];
  readonly store: TensorStore;
  readonly averages?: { readonly bound: VersionedVariables; readonly update: WeightAverages };
}

/**
 * The state of a replica. The flat vector holds the parameters that learn, then the running statistics of the
 * BatchNorm layers that are training, each at a cache line; gradients, averages and the optimizer's tensors have the
 * same layout. A step is two calls: {@linkcode ReplicaState.update} makes the next version of all that changes, and
 * {@linkcode ReplicaState.commit} makes it the current one.
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
  /** The regions that the update before the next commit has made anew. */
  #made: readonly { commit(): void }[] = [];
  /** Those of the last commit, while it can be taken back. */
  #committed: readonly { commit(): void }[] = [];

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
    return FLOAT_BYTES * this.#statisticsBegin;
  }

  /** The first float of the vectors that belongs to running statistics. */
  get #statisticsBegin(): number {
    return this.layout.places[this.learning.length]?.begin ?? this.layout.floats;
  }

  /** Vectors that a step changes: the values, the optimizer's tensors, and the averages where such are kept. */
  get regions(): number {
    return 1 + this.optimizer.slots.length + (this.#ema ? 1 : 0);
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
    this.#attach(buffers, undefined);
  }

  /**
   * Moves into other buffers, with everything: the present values, the optimizer's state and the averages. What a step
   * that was broken off has left in the variables is forgotten.
   *
   * @throws {RangeError} when they are too small
   */
  move(buffers: StepBuffers): void {
    const before = this.#parts;
    this.restore();
    this.#attach(buffers, before.buffers);
    disposeBuffers(before.buffers);
  }

  #attach(buffers: StepBuffers, source: StepBuffers | undefined): void {
    const { vectorBytes, exchanged, layout } = this;
    const given = [buffers.vector, buffers.reduced, ...buffers.regions];
    const isWrong = given.some(({ byteLength }) => byteLength !== vectorBytes);
    if (buffers.regions.length < this.regions || isWrong) {
      throw new RangeError(
        `${buffers.regions.length} vectors of ${buffers.vector.byteLength} bytes for ${this.regions} of ${vectorBytes}`,
      );
    }
    const slotCount = this.optimizer.slots.length;
    const [region, ...others] = buffers.regions;
    const slots = others.slice(0, slotCount);
    const values = new VersionedVariables(exchanged, layout, region);
    if (source) copyRegions(source, buffers, this.regions);
    else values.collect();
    this.#release();
    const range = buffers.shard;
    if (!source) { for (const slot of slots) fillWithZeros(slot.current, range); }
    this.optimizer.attach({ values: region, slots, gradients: buffers.reduced, range });
    let averages: Attached["averages"];
    if (this.#ema) {
      const averaged = others[slotCount];
      const update = new WeightAverages({ values: region, averages: averaged, range });
      if (!source) update.reset();
      averages = { bound: new VersionedVariables(exchanged, layout, averaged), update };
    }
    const store = new TensorStore(buffers.vector, layout.places);
    this.#attached = { buffers, values, slots, store, ...(averages ? { averages } : {}) };
    if (source) values.bind();
    this.#placeFixed();
  }

  /** The values in memory are those of the variables, whoever has set these. */
  collect(): void {
    this.#parts.values.collect();
  }

  /** Brings what no step changes to a GPU: TensorFlow would copy some of it there at each call. */
  #placeFixed(): void {
    if (!isGpuOpen()) return;
    const exchanged = new Set(this.exchanged);
    for (const { variable } of this.parameters) {
      if (exchanged.has(variable)) continue;
      const value = placed(variable);
      variable.assign(value);
      value.dispose();
    }
  }

  /** Binds the variables to the values in memory, whatever was assigned to them since. */
  restore(): void {
    this.#parts.values.bind();
  }

  /** The places of results of a step in this rank's vector, by their positions in {@linkcode exchanged}. */
  get store(): TensorStore {
    return this.#parts.store;
  }

  /** Tells whether this rank's own vector holds NaN or infinity; on a GPU the step's totals tell. */
  hasNonFiniteVector(): boolean {
    const { host } = this.#parts.buffers.vector;
    if (!host) return false;
    const floats = new Float32Array(host.buffer, host.byteOffset, this.layout.floats);
    return findNonFinite(floats) >= 0;
  }

  /**
   * The sum of the squares of the summed gradients of some ranges, as they count for the limit of their norm.
   *
   * @param scale Factor of the loss whose gradients these are
   * @returns The squares, added range by range, where the update needs them, else 0
   */
  sumSquares(ranges: readonly FloatRange[], scale = 1): number {
    return ranges.reduce((sum, range) => sum + this.optimizer.sumSquares(range, scale), 0);
  }

  /**
   * Makes the next version of what the step changes, in the range of this rank's shard: takes the optimizer's step, and
   * takes over the reduced statistics. What is current stays as it is.
   */
  async update(update: ReplicaUpdate): Promise<void> {
    const { buffers: { shard, reduced, regions: [region] }, values, slots, averages } = this.#parts;
    const { rates, step, squares, scale = 1, learns = true, hasStatistics = true } = update;
    const learning = overlap(shard, { begin: 0, end: this.#statisticsBegin });
    const statistics = overlap(shard, { begin: this.#statisticsBegin, end: this.layout.floats });
    if (learns) await this.optimizer.step({ rates, step, squares, scale });
    else copyRange(region.current, region.next, learning);
    copyRange(hasStatistics ? reduced : region.current, region.next, statistics);
    this.#made = [values, ...(learns ? slots : [])];
    faultPoint("update");
    if (!learns || !averages) return;
    const share = update.newShare ?? newShareOfSteps(this.#ema!, step);
    if (await averages.update.update(share)) this.#made = [...this.#made, averages.bound];
  }

  /** Changes one bit of the parameters as this rank has them: damage to memory, for tests. */
  async flipBit(): Promise<void> {
    const [{ current }] = this.#parts.buffers.regions;
    const float = FLOAT_BYTES * Math.floor(this.#statisticsBegin / 2);
    const bytes = new Uint8Array(FLOAT_BYTES);
    await current.download(bytes, float);
    bytes[1]! ^= 1;
    await current.upload(bytes, float);
  }

  /** Makes the version of the last update the current one, once all ranks have made theirs. */
  commit(): void {
    for (const region of this.#made) region.commit();
    this.#committed = this.#made;
    this.#made = [];
    this.#parts.values.bind();
  }

  /**
   * Takes the last commit back, once; no update may have begun since.
   *
   * @throws {TypeError} when there is none
   */
  uncommit(): void {
    if (this.#committed.length === 0) throw new TypeError("There is no commit to take back");
    for (const region of this.#committed) region.commit(); // the version before is the other one
    this.#committed = [];
    this.#made = [];
    this.#parts.values.bind();
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
      averages.bound.collect();
      values.bind();
    }
  }

  /** Bytes of a state. */
  get stateBytes(): number {
    const sizes = this.parameters.reduce((sum, { variable }) => sum + variable.size, 0);
    return FLOAT_BYTES * sizes + (this.regions - 1) * this.vectorBytes;
  }

  /** Returns the state: all parameters and buffers, the averages, then the optimizer's tensors. All float32. */
  async exportState(): Promise<Uint8Array<ArrayBuffer>> {
    this.collect();
    const bytes = new Uint8Array(this.stateBytes);
    const next = partsOf(bytes);
    for (const { variable } of this.parameters) {
      readInto(variable, next(FLOAT_BYTES * variable.size));
    }
    for (const { current } of this.#beside) await current.download(next(this.vectorBytes));
    return bytes;
  }

  /**
   * Takes over a state that {@linkcode exportState} of an equal replica gave.
   *
   * @throws {RangeError} when it has another size
   */
  async importState(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (bytes.byteLength !== this.stateBytes) {
      throw new RangeError(`State has ${bytes.byteLength} bytes, expected ${this.stateBytes}`);
    }
    const next = partsOf(bytes);
    for (const { variable } of this.parameters) {
      const value = tensorFrom(variable.shape, "float32", next(FLOAT_BYTES * variable.size));
      variable.assign(value);
      value.dispose();
    }
    this.collect();
    this.#placeFixed();
    for (const { current } of this.#beside) await current.upload(next(this.vectorBytes));
  }

  /** A copy of one of the optimizer's tensors in the vector's layout. */
  async readSlot(slot: number): Promise<Uint8Array<ArrayBuffer>> {
    const vector = new Uint8Array(this.vectorBytes);
    await this.#parts.slots[slot].current.download(vector);
    return vector;
  }

  /** Sets one of the optimizer's tensors from its values in the vector's layout. */
  async writeSlot(slot: number, vector: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#parts.slots[slot].current.upload(vector);
  }

  /** The regions beside the values: the averages, then the optimizer's tensors. */
  get #beside(): VersionedMemory[] {
    const { buffers: { regions }, slots } = this.#parts;
    return [...regions.slice(1 + slots.length, this.regions), ...slots];
  }

  get #parts(): Attached {
    if (!this.#attached) this.attach(loneBuffers(this.vectorBytes, this.regions));
    return this.#attached!;
  }

  #release(): void {
    const { values, store, averages } = this.#attached ?? {};
    for (const held of [values, store, averages?.bound, averages?.update]) held?.[Symbol.dispose]();
    this.#attached = undefined;
    this.#made = [];
    this.#committed = [];
  }

  /** Releases the optimizer's state; the model stays as it is. */
  [Symbol.dispose](): void {
    this.#release();
    this.optimizer[Symbol.dispose]();
  }
}

/** Copies the current versions of the first regions. */
function copyRegions(source: StepBuffers, target: StepBuffers, count: number): void {
  const all = { begin: 0, end: source.vector.byteLength / FLOAT_BYTES };
  for (let region = 0; region < count; region++) {
    const [from, to] = [source, target].map(({ regions }) => itemAt(regions, region).current);
    copyRange(from, to, all);
  }
}

/** Gives one part of some bytes after the other. */
function partsOf(bytes: Uint8Array<ArrayBuffer>): (length: number) => Uint8Array<ArrayBuffer> {
  let offset = 0;
  return (length) => bytes.subarray(offset, offset += length);
}
