/**
 * Runs a computation as one TensorFlow function, traced at its first call.
 *
 * @module
 */
import { type Attribute, typeAttribute } from "./attributes.ts";
import { type NativeBackend, nativeBackend } from "./backend.ts";
import { callAttributes, type CallOptions } from "./call_options.ts";
import { type GraphRun, GraphSession } from "./graph_session.ts";
import { randomTraceKey, randomVariables } from "./random_state.ts";
import type { TensorId } from "./runtime.ts";
import { EngineError } from "./status.ts";
import { tf } from "./tf.ts";
import { type TracedFunction, Tracer } from "./tracer.ts";

/** What a captured function depends on. */
export interface CaptureOptions extends CallOptions {
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
  readonly #attributes: readonly Attribute[];
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
    this.#attributes = callAttributes(options);
  }

  /** For errors and profiles. */
  get name(): string {
    return this.#name;
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
    const variables = this.#variables();
    const key = [
      random ? randomTraceKey() : "",
      ...inputs.map(({ dtype, shape }) => `${dtype}[${shape}]`),
    ]
      .join();
    let trace = this.#traces.get(key);
    if (!trace) this.#traces.set(key, trace = this.#trace(inputs, variables));

    const backend = nativeBackend();
    const ids = [...backend.getInputTensorIds([...inputs, ...variables]), ...trace.hidden];
    const outputs = (await backend.runtime.executeAsync(trace.name, this.#attributes, ids))
      .map((metadata) => backend.createOutputTensor(metadata));
    trace.assigned.forEach((position, index) => {
      const value = outputs[trace.results + index];
      variables[position].assign(value);
      value.dispose();
    });
    return outputs.slice(0, trace.results);
  }

  /**
   * Traces the function anew and runs it some times in a session, which times each node. Nothing is assigned.
   *
   * @param runs How often; the first run of all allocates and compiles, so leave it out of what is shown
   */
  async profile(inputs: readonly tf.Tensor[], runs: number): Promise<GraphRun[]> {
    const backend = nativeBackend();
    const variables = this.#variables();
    using tracer = this.#tracer(inputs, variables);
    const { value: ends } = this.#record(tracer, inputs, variables, (ids) => tracer.ends(ids));
    const ids = [...backend.getInputTensorIds([...inputs, ...variables]), ...tracer.hidden];
    using session = new GraphSession(backend.runtime, ends, this.#options.precision);
    const done: GraphRun[] = [];
    while (done.length < runs) done.push(await session.run(ids));
    return done;
  }

  /** Releases the traces. */
  dispose(): void {
    for (const trace of this.#traces.values()) release(trace);
    this.#traces.clear();
  }

  #variables(): tf.Variable[] {
    return [...this.#options.variables(), ...randomVariables()];
  }

  #tracer(inputs: readonly tf.Tensor[], variables: readonly tf.Variable[]): Tracer {
    const backend = nativeBackend();
    const args = [...backend.getInputTensorIds(inputs), ...ownIds(backend, variables)];
    return new Tracer(backend.runtime, args, this.#options.xla);
  }

  #trace(inputs: readonly tf.Tensor[], variables: readonly tf.Variable[]): Trace {
    using tracer = this.#tracer(inputs, variables);
    const { value: traced, ...rest } = this.#record(
      tracer,
      inputs,
      variables,
      (ids) => tracer.finish(`lockstep_${this.#name}_${functionCount++}`, ids),
    );
    const trace = { ...traced, ...rest };
    this.#checkVariables(tracer, variables, trace);
    return trace;
  }

  /**
   * Takes down the function's ops. What it assigns to variables meanwhile is taken back.
   *
   * @param finish Is given the results and the variables' new values
   */
  #record<T>(
    tracer: Tracer,
    inputs: readonly tf.Tensor[],
    variables: readonly tf.Variable[],
    finish: (ids: TensorId[]) => T,
  ): { value: T; results: number; assigned: number[] } {
    const backend = nativeBackend();
    const { runtime } = backend;
    const before = backend.getInputTensorIds(variables);
    const values = variables.map((variable) => tf.clone(variable));
    runtime.tracer = tracer;
    let results: tf.Tensor[] = [];
    try {
      results = tf.tidy(() => this.#fn(...inputs));
      const after = backend.getInputTensorIds(variables);
      const assigned = [...after.keys()].filter((position) => after[position] !== before[position]);
      const value = finish([
        ...backend.getInputTensorIds(results),
        ...assigned.map((position) => after[position]),
      ]);
      return { value, results: results.length, assigned };
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
