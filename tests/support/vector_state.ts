/**
 * A state of one vector, for tests of the ranks' memberships: no model, no engine.
 *
 * @module
 */
import { floatsOf } from "../../src/base/float_range.ts";
import { copyRange, hostOf } from "../../src/engine/device_memory.ts";
import { loneBuffers, type StepBuffers } from "../../src/exchange/step_buffers.ts";
import type { HeldState } from "../../src/worker/rank_generation.ts";

/** Value of a state that was never loaded. */
export const UNTRAINED = -1e6;

/** The state; it writes down what is asked of it. */
export class VectorState implements HeldState {
  readonly vectorBytes: number;
  readonly gradientBytes: number;
  readonly regions = 1;
  readonly calls: string[] = [];
  #buffers: StepBuffers;

  constructor(vectorBytes: number) {
    this.vectorBytes = this.gradientBytes = vectorBytes;
    this.#buffers = loneBuffers(vectorBytes, 1);
    this.values.fill(UNTRAINED);
  }

  get buffers(): StepBuffers {
    return this.#buffers;
  }

  /** The current values. */
  get values(): Float32Array {
    return floatsOf(hostOf(this.buffers.regions[0]!.current));
  }

  /** As `ReplicaState`, which brings the values of its new model. */
  attach(buffers: StepBuffers): void {
    this.calls.push("attach");
    this.#buffers = buffers;
    this.values.fill(UNTRAINED);
  }

  move(buffers: StepBuffers): void {
    this.calls.push("move");
    const all = { begin: 0, end: this.vectorBytes / Float32Array.BYTES_PER_ELEMENT };
    copyRange(this.#buffers.regions[0]!.current, buffers.regions[0]!.current, all);
    this.#buffers = buffers;
  }

  restore(): void {
    this.calls.push("restore");
  }

  uncommit(): void {
    this.calls.push("uncommit");
    this.buffers.regions[0]!.commit();
  }

  /** Adds the sum to this rank's part of the next version. */
  update(): void {
    const { regions: [region], reduced, shard: { begin, end } } = this.#buffers;
    const [current, sum] = [this.values, floatsOf(hostOf(reduced))];
    const next = floatsOf(hostOf(region!.next));
    for (let at = begin; at < end; at++) next[at] = current[at]! + sum[at]!;
  }

  commit(): void {
    this.buffers.regions[0]!.commit();
  }
}
