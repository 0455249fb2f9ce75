/**
 * The model's variables as views of the current version of a region.
 *
 * @module
 */
import type { tf } from "../engine/tf.ts";
import type { VersionedMemory } from "../engine/versioned_memory.ts";
import type { FlatLayout } from "../optim/flat_layout.ts";
import { BoundVariables } from "./bound_variables.ts";

/** Variables bound to a region in two versions. */
export class VersionedVariables implements Disposable {
  readonly #region: VersionedMemory;
  readonly #make: () => BoundVariables;
  #current: BoundVariables;
  #other: BoundVariables | undefined;

  constructor(variables: readonly tf.Variable[], layout: FlatLayout, region: VersionedMemory) {
    this.#region = region;
    this.#make = () => new BoundVariables(variables, layout, region.current);
    this.#current = this.#make();
  }

  /** As of `BoundVariables`, for the current version. */
  bind(): void {
    this.#current.bind();
  }

  /** As of `BoundVariables`, for the current version. */
  collect(): boolean {
    return this.#current.collect();
  }

  /** Makes the next version of the region the current one; the variables are to be bound again. */
  commit(): void {
    this.#region.commit();
    [this.#current, this.#other] = [this.#other ?? this.#make(), this.#current];
  }

  /** Releases the views. */
  [Symbol.dispose](): void {
    this.#current[Symbol.dispose]();
    this.#other?.[Symbol.dispose]();
  }
}
