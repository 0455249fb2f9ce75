/**
 * A second, instrumented run of a training pass, which finds where its values cease to be finite.
 *
 * The pass is traced once more, with the layers' outputs, their gradients, the losses and the parameters' gradients
 * checked on the device: only flags are read. It computes as the step does, with the same formats and random numbers.
 * Nothing is exchanged, and the caller restores the running statistics.
 *
 * @module
 */
import { anyNonFinite } from "../engine/array_ops.ts";
import type { CallOptions } from "../engine/capture/call_options.ts";
import { CapturedFunction } from "../engine/capture/capture.ts";
import { tf } from "../engine/tf.ts";
import { watchingLayers } from "../models/watched_layers.ts";
import type { ModelScorer } from "./model_scorer.ts";
import type { WatchedPass, WatchedRows, WatchedValue } from "./non_finite_origin.ts";
import type { ReplicaState } from "./replica_state.ts";
import { trainingLoss } from "./training_loss.ts";

/** The kind and the layer of what is watched by rows, in the order of the pass. */
type RowPlace = Omit<WatchedRows, "rows">;

/** Options of a {@linkcode StepProbe}. */
export interface ProbeOptions {
  readonly capture: boolean;
  /** Those of the step; XLA is left out, which would take longer to compile than a step. */
  readonly call?: CallOptions | undefined;
}

/** The instrumented pass of a replica. */
export class StepProbe implements Disposable {
  readonly #scorer: ModelScorer;
  readonly #state: Pick<ReplicaState, "parameters" | "trainable" | "learning" | "exchanged">;
  readonly #fn: CapturedFunction;
  /** The places to which the rows of flags belong: the same in every trace. */
  #places: readonly RowPlace[] = [];

  constructor(
    scorer: ModelScorer,
    state: Pick<ReplicaState, "parameters" | "trainable" | "learning" | "exchanged">,
    { capture, call }: ProbeOptions,
  ) {
    this.#scorer = scorer;
    this.#state = state;
    this.#fn = new CapturedFunction(
      "probe",
      (start, ...inputs) => this.#trace(start!, inputs),
      { variables: () => this.#variables, capture, ...call, xla: false },
    );
  }

  get #variables(): tf.Variable[] {
    return this.#state.parameters.map(({ variable }) => variable);
  }

  /** The running statistics that a step moves. */
  get #statistics(): ReplicaState["parameters"] {
    const { parameters, exchanged, learning } = this.#state;
    const moved = new Set(exchanged.slice(learning.length));
    return parameters.filter(({ variable }) => moved.has(variable));
  }

  /**
   * Runs a pass. Running statistics have moved when it ends.
   *
   * @param inputs As of the step's function: `ModelScorer.inputs()`, then the factor of the loss
   */
  async run(inputs: readonly tf.Tensor[]): Promise<WatchedPass> {
    const { parameters, trainable } = this.#state;
    const [byRow, byValue] = await this.#fn.call(inputs);
    const [rows, count] = byRow!.shape as [number, number];
    const [rowFlags, flags] = await Promise.all([byRow!.data(), byValue!.data()]);
    tf.dispose([byRow!, byValue!]);
    const taken = takerOf(flags);
    const watched = {
      parameters: taken(parameters),
      isLossNonFinite: taken([{ name: "", layer: "" }])[0]!.isNonFinite,
      gradients: taken(trainable),
      statistics: taken(this.#statistics),
    };
    return {
      ...watched,
      rows: this.#places.slice(0, rows).map((place, row) => ({
        ...place,
        rows: Array.from(rowFlags.subarray(row * count, (row + 1) * count), (flag) => flag !== 0),
      })),
    };
  }

  /** Returns flags by row [values, n] and flags of whole values [m], 1 where something isn't finite. */
  #trace(start: tf.Tensor, inputs: readonly tf.Tensor[]): tf.Tensor[] {
    const { learning } = this.#state;
    const count = start.shape[0]!;
    const places: RowPlace[] = [];
    const rows: tf.Tensor[] = [];
    const watch = (place: RowPlace, values: tf.Tensor) => {
      if (values.dtype !== "float32") return;
      places.push(place);
      rows.push(tf.keep(nonFiniteRows(values, count)));
    };
    const before = this.#variables.map(anyNonFinite);
    let lossFlag: tf.Tensor | undefined;
    watch({ kind: "start" }, start);
    const onOutput = (layer: string, output: tf.Tensor) => {
      watch({ kind: "output", layer }, output);
      return watchingGradient(output, (dy) => watch({ kind: "outputGradient", layer }, dy));
    };
    const { value, grads } = watchingLayers(
      this.#scorer.model,
      onOutput,
      () =>
        tf.variableGrads(() => {
          const { loss, losses } = trainingLoss(this.#scorer, start, inputs);
          for (const each of losses) watch({ kind: "losses" }, each);
          lossFlag = tf.keep(anyNonFinite(loss));
          return tf.mul(loss, inputs.at(-1)!) as tf.Scalar;
        }, [...learning]),
    );
    const gradients = learning.map(({ name }) => anyNonFinite(grads[name]!));
    const after = this.#statistics.map(({ variable }) => anyNonFinite(variable));
    this.#places = places;
    const results = [tf.stack(rows), tf.stack([...before, lossFlag!, ...gradients, ...after])];
    tf.dispose([value, lossFlag!, ...rows]);
    return results;
  }

  [Symbol.dispose](): void {
    this.#fn.dispose();
  }
}

/** Gives a flag to each of some values, one list after the other. */
function takerOf(flags: ArrayLike<number>) {
  let next = 0;
  return (values: readonly { readonly name: string; readonly layer: string }[]): WatchedValue[] =>
    values.map(({ name, layer }) => ({ name, layer, isNonFinite: flags[next++] !== 0 }));
}

/** Returns a tensor of the same values, whose gradient is passed to `onGradient` in the backward pass. */
function watchingGradient(values: tf.Tensor, onGradient: (dy: tf.Tensor) => void): tf.Tensor {
  if (values.dtype !== "float32") return values;
  const watched = tf.customGrad((x) => ({
    value: tf.clone(x as tf.Tensor),
    gradFunc: (dy: tf.Tensor) => {
      onGradient(dy);
      return tf.clone(dy);
    },
  }));
  return watched(values);
}

/** By row: 1 where values are not finite. Of what has no row for each image, all rows have the flag of the whole. */
function nonFiniteRows(values: tf.Tensor, count: number): tf.Tensor {
  const { shape, rank } = values;
  if (rank === 0 || shape[0] !== count) return tf.tile(anyNonFinite(values).reshape([1]), [count]);
  const bad = tf.cast(tf.logicalNot(tf.isFinite(values)), "float32");
  const flat = tf.reshape(bad, [count, values.size / count]);
  return tf.max(flat, 1);
}
