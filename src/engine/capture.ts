/**
 * Runs a computation as one TensorFlow function, traced at its first call.
 *
 * @module
 */
import { typeAttribute } from "./attributes.ts";
import { type NativeBackend, nativeBackend } from "./backend.ts";
import { randomTraceKey, randomVariables } from "./random_state.ts";
import type { TensorId } from "./runtime.ts";
import { EngineError } from "./status.ts";
import { tf } from "./tf.ts";
import { type TracedFunction, Tracer } from "./tracer.ts";

/** What a captured function depends on. */
export interface CaptureOptions {
  /** All variables that the function reads or assigns, in an order that never changes. */
  readonly variables: () => readonly tf.Variable[];
  /** `false` runs the function op by op at every call: the reference that captures are tested against. */
  readonly capture: boolean;
  /** `false` when the function draws nothing at random: then it is traced once whatever the step's batch. */
  readonly random?: boolean;
}

interface Trace extends TracedFunction {
  /** Number of results of the function itself; new values of variables follow. */
  readonly results: number;
  /** Positions in the list of variables whose new values the trace returns. */
  readonly assigned: readonly number[];
}

let functionCount = 0;

/**
 * A function of tensors and variables that is traced once per shapes of its inputs.
 *
 * The first call for a set of shapes takes down its ops, without running them; each call is one native call on
 * another thread, while JavaScript goes on. Inputs and variables are arguments of the trace and so are
 * never frozen into it; reading a value back in JavaScript while tracing is an error.
 */
export class CapturedFunction {
  readonly #name: string;
  readonly #fn: (...inputs: tf.Tensor[]) => tf.Tensor[];
  readonly #options: CaptureOptions;
  readonly #traces = new Map<string, Trace>();

  /**
   * @param name For errors and profiles
   * @param fn Synchronous and pure up to its assignments to the listed variables
   */
  constructor(
    name: string,
    fn: (...inputs: tf.Tensor[]) => tf.Tensor[],
    options: CaptureOptions,
  ) {
    this.#name = name;
    this.#fn = fn;
    this.#options = options;
  }

  /** Traces made so far: one per set of input shapes. */
  get traceCount(): number {
    return this.#traces.size;
  }

  /**
   * Calls the function. The caller disposes of inputs and results.
   *
   * @throws {EngineError} when an op fails, or when the function can't be captured
   */
  async call(inputs: readonly tf.Tensor[]): Promise<tf.Tensor[]> {
    const { capture, random = true } = this.#options;
    if (!capture) return tf.tidy(() => this.#fn(...inputs));
    const variables = [...this.#options.variables(), ...randomVariables()];
    const key = [
      random ? randomTraceKey() : "",
      ...inputs.map(({ dtype, shape }) => `${dtype}[${shape}]`),
    ]
      .join();
    let trace = this.#traces.get(key);
    if (!trace) this.#traces.set(key, trace = this.#trace(inputs, variables));

    const backend = nativeBackend();
    const ids = [...backend.getInputTensorIds([...inputs, ...variables]), ...trace.hidden];
    const outputs = (await backend.runtime.executeAsync(trace.name, [], ids))
      .map((metadata) => backend.createOutputTensor(metadata));
    trace.assigned.forEach((position, index) => {
      const value = outputs[trace.results + index];
      variables[position].assign(value);
      value.dispose();
    });
    return outputs.slice(0, trace.results);
  }

  /** Releases the traces. */
  dispose(): void {
    for (const trace of this.#traces.values()) release(trace);
    this.#traces.clear();
  }

  /** Takes down the function's ops. What it assigns to variables meanwhile is taken back. */
  #trace(inputs: readonly tf.Tensor[], variables: readonly tf.Variable[]): Trace {
    const backend = nativeBackend();
    const { runtime } = backend;
    const before = ownIds(backend, variables);
    const values = variables.map((variable) => tf.clone(variable));
    using tracer = new Tracer(runtime, [...backend.getInputTensorIds(inputs), ...before]);
    runtime.tracer = tracer;
    let results: tf.Tensor[] = [];
    try {
      results = tf.tidy(() => this.#fn(...inputs));
      const after = backend.getInputTensorIds(variables);
      const assigned = [...after.keys()].filter((position) => after[position] !== before[position]);
      const traced = tracer.finish(`lockstep_${this.#name}_${functionCount++}`, [
        ...backend.getInputTensorIds(results),
        ...assigned.map((position) => after[position]),
      ]);
      const trace = { ...traced, results: results.length, assigned };
      runtime.tracer = undefined; // looking at a variable may bring its value to TensorFlow
      this.#checkVariables(tracer, variables, trace);
      return trace;
    } finally {
      runtime.tracer = undefined;
      variables.forEach((variable, position) => variable.assign(values[position]));
      tf.dispose([...values, ...results]);
    }
  }

  /** A variable that is read but not listed would keep its present value for ever. */
  #checkVariables(tracer: Tracer, listed: readonly tf.Variable[], trace: Trace): void {
    const known = new Set(listed);
    const backend = nativeBackend();
    for (const variable of Object.values(tf.engine().registeredVariables)) {
      if (known.has(variable) || !tracer.isFrozen(backend.getInputTensorIds([variable])[0])) {
        continue;
      }
      release(trace);
      throw new EngineError(
        "FAILED_PRECONDITION",
        this.#name,
        `The captured function ${this.#name} reads the variable ${variable.name}, ` +
          "which is not in its list of variables, so its value would be frozen",
      );
    }
  }
}

function release({ name, hidden }: Trace): void {
  const { runtime } = nativeBackend();
  runtime.removeFunction(name);
  for (const id of hidden) runtime.deleteTensor(id);
}

/** Ids of the variables' values, each of its own: tfjs may share one native tensor among variables. */
function ownIds(backend: NativeBackend, variables: readonly tf.Variable[]): TensorId[] {
  const seen = new Set<TensorId>();
  return variables.map((variable) => {
    let [id] = backend.getInputTensorIds([variable]);
    if (seen.has(id)) {
      const dtype = backend.runtime.describe(id).dtype;
      const own = backend.executeSingleOutput("Identity", [typeAttribute("T", dtype)], [variable]);
      variable.assign(own);
      own.dispose();
      [id] = backend.getInputTensorIds([variable]);
    }
    seen.add(id);
    return id;
  });
}
