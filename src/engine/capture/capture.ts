/**
 * Runs a computation as one TensorFlow function, traced at its first call.
 *
 * @module
 */
import { type Attribute, DATA_TYPES, typeAttribute } from "../binding/attributes.ts";
import { type NativeBackend, nativeBackend } from "../backend.ts";
import { isRewritten, narrowType } from "./autocast.ts";
import { callAttributes, type CallOptions } from "./call_options.ts";
import { type GraphRun, GraphSession } from "./graph_session.ts";
import { randomTraceKey, randomVariables } from "../random_state.ts";
import type { ExchangePoint, TensorId, TensorMetadata } from "../binding/runtime.ts";
import { EngineError } from "../binding/status.ts";
import { tf } from "../tf.ts";
import { type TracedFunction, type TracedPart, Tracer } from "./tracer.ts";

/** The variables that a captured function uses, and the options of its capture. */
export interface CaptureOptions extends CallOptions {
  /** All variables that the function reads or assigns, in an order that never changes. */
  readonly variables: () => readonly tf.Variable[];
  /** `false` runs the function op by op at every call: the reference that captures are tested against. */
  readonly capture: boolean;
  /** `false` when the function draws nothing at random: then it is traced once whatever the step's batch. */
  readonly random?: boolean;
}

/**
 * Exchanges the values of a point, while the call waits. The points of a call come one after the other, in the order in
 * which they were recorded.
 *
 * @returns float32 [point.taken]
 */
export type Exchange = (point: ExchangePoint, values: Float32Array) => Promise<Float32Array>;

/** A result of a captured function as a cut sees it. */
export interface CapturedResult {
  /** Number of the recorded op that gives the result, counted from 0. */
  readonly position: number;
  /** Values. */
  readonly size: number;
}

/** A captured function in parts. */
export interface PartsOptions {
  /**
   * Returns the cuts: positions of ops after which a part ends, rising. Cuts before a variable's new value are left
   * out, so that the first part gives all new values. Must return the same cuts for the same results.
   */
  readonly cuts: (results: readonly CapturedResult[]) => readonly number[];
  /**
   * Takes what a part gave, by number of the result, while the next part runs already; owns the tensors. Variables have
   * their new values. The results after wait until its promise resolves.
   */
  readonly onResults: (results: ReadonlyMap<number, tf.Tensor>) => Promise<void> | void;
  /** As of {@linkcode CapturedFunction.call}. */
  readonly exchange?: Exchange;
}

interface Trace extends TracedFunction {
  /** Number of results of the function itself; new values of variables follow. */
  readonly results: number;
  /** Positions in the list of variables whose new values the trace returns. */
  readonly assigned: readonly number[];
}

type Cuts = PartsOptions["cuts"];

/** The form of a trace, beside its inputs. */
interface TraceForm {
  readonly cuts: Cuts | undefined;
  readonly exchanges: boolean;
}

let functionCount = 0;

/**
 * A function of tensors and variables that is traced once per shapes of its inputs.
 *
 * The first call for a set of shapes records its ops, without running them; each call is one native call on
 * another thread, while JavaScript goes on. Inputs and variables are arguments of the trace and so are
 * never frozen into it; reading a value back in JavaScript while tracing is an error.
 */
export class CapturedFunction {
  readonly #name: string;
  readonly #fn: (...inputs: tf.Tensor[]) => tf.Tensor[];
  readonly #options: CaptureOptions;
  readonly #traces = new Map<string, Trace>();
  #attributes: readonly Attribute[] | undefined;

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

  /** Name of the function, for errors and profiles. */
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
   * @param exchange Lets ops exchange values in the midst of the call; without it they compute on their own
   * @throws {EngineError} when an op fails, or when the function can't be captured
   */
  async call(inputs: readonly tf.Tensor[], exchange?: Exchange): Promise<tf.Tensor[]> {
    const results: tf.Tensor[] = [];
    await this.#run(inputs, undefined, (some) => {
      for (const [index, tensor] of some) results[index] = tensor;
    }, exchange);
    return results;
  }

  /** Traces the function for the points at which a call with such inputs exchanges values, in order. */
  exchangePoints(inputs: readonly tf.Tensor[]): ExchangePoint[] {
    const variables = this.#variables();
    using tracer = this.#tracer(inputs, variables, true);
    return this.#record(tracer, inputs, variables, () => tracer.points).value;
  }

  /**
   * Calls the function as several parts that run one after the other. Each part's results are passed on while the
   * next part runs. Without capture, or where TensorFlow compiles the function as a whole, all results come together.
   *
   * @throws {EngineError} when an op fails, or when the function can't be captured
   * @throws What `onResults` throws
   */
  async callInParts(
    inputs: readonly tf.Tensor[],
    { cuts, onResults, exchange }: PartsOptions,
  ): Promise<void> {
    const isWhole = this.#options.xla || this.#isRewritten;
    await this.#run(inputs, isWhole ? undefined : cuts, onResults, exchange);
  }

  async #run(
    inputs: readonly tf.Tensor[],
    cuts: Cuts | undefined,
    onResults: PartsOptions["onResults"],
    exchange: Exchange | undefined,
  ): Promise<void> {
    if (!this.#options.capture) {
      if (exchange) throw new TypeError("Only a captured function exchanges values");
      return await onResults(new Map(tf.tidy(() => this.#fn(...inputs)).entries()));
    }
    const variables = this.#variables();
    const trace = this.#traceOf(inputs, variables, { cuts, exchanges: exchange !== undefined });
    const backend = nativeBackend();
    const ids = [...backend.getInputTensorIds([...inputs, ...variables]), ...trace.capturedInputs];
    this.#attributes ??= callAttributes(this.#isRewritten, this.#options.xla ?? false);
    let results = new Map<number, tf.Tensor>();
    let unassigned = trace.assigned.length;
    try {
      for await (const some of new PartCalls(trace, this.#attributes, ids, exchange)) {
        for (const [index, metadata] of some) {
          const tensor = backend.createOutputTensor(metadata);
          if (index < trace.results) results.set(index, tensor);
          else {
            variables[trace.assigned[index - trace.results]].assign(tensor);
            tensor.dispose();
            unassigned--;
          }
        }
        if (unassigned > 0 || results.size === 0) continue;
        const whole = results;
        results = new Map();
        await onResults(whole);
      }
    } finally {
      tf.dispose([...results.values()]); // of a call that failed
    }
  }

  /**
   * Traces the function anew and runs it some times in a session, which times each node. Nothing is assigned, and
   * nothing is exchanged.
   *
   * @param runs Number of runs; the first run of all allocates and compiles, so leave that run out of reports
   */
  async profile(inputs: readonly tf.Tensor[], runs: number): Promise<GraphRun[]> {
    const backend = nativeBackend();
    const variables = this.#variables();
    using tracer = this.#tracer(inputs, variables);
    const { value: ends } = this.#record(tracer, inputs, variables, (ids) => tracer.ends(ids));
    const ids = [...backend.getInputTensorIds([...inputs, ...variables]), ...tracer.capturedInputs];
    using session = new GraphSession(backend.runtime, ends, this.#isRewritten);
    const done: GraphRun[] = [];
    while (done.length < runs) done.push(await session.run(ids));
    return done;
  }

  /** Releases the traces. */
  dispose(): void {
    for (const trace of this.#traces.values()) release(trace);
    this.#traces.clear();
  }

  /** True where TensorFlow's graph optimizer rewrites the function to bfloat16. */
  get #isRewritten(): boolean {
    const { roundsInTrace = false } = this.#options;
    return isRewritten(this.#options, nativeBackend().runtime.hasGpu || roundsInTrace);
  }

  #variables(): tf.Variable[] {
    return [...this.#options.variables(), ...randomVariables()];
  }

  #tracer(
    inputs: readonly tf.Tensor[],
    variables: readonly tf.Variable[],
    exchanges = false,
  ): Tracer {
    const backend = nativeBackend();
    const { xla = false } = this.#options;
    const args = [...backend.getInputTensorIds(inputs), ...ownIds(backend, variables)];
    const { roundsInTrace } = this.#options;
    const narrow = narrowType(this.#options, backend.runtime.hasGpu || roundsInTrace === true);
    return new Tracer(backend.runtime, args, { xla, narrowType: narrow, exchanges });
  }

  /** The trace for some inputs: the known one, or a new one. */
  #traceOf(
    inputs: readonly tf.Tensor[],
    variables: readonly tf.Variable[],
    form: TraceForm,
  ): Trace {
    const key = [
      form.cuts ? "parts" : "",
      form.exchanges ? "exchanges" : "",
      this.#options.random ?? true ? randomTraceKey() : "",
      ...inputs.map(({ dtype, shape }) => `${dtype}[${shape}]`),
    ].join();
    const known = this.#traces.get(key);
    if (known) return known;
    const trace = this.#trace(inputs, variables, form);
    this.#traces.set(key, trace);
    return trace;
  }

  #trace(
    inputs: readonly tf.Tensor[],
    variables: readonly tf.Variable[],
    { cuts, exchanges }: TraceForm,
  ): Trace {
    using tracer = this.#tracer(inputs, variables, exchanges);
    const name = `lockstep_${this.#name}_${functionCount++}`;
    const { value: traced, ...rest } = this.#record(
      tracer,
      inputs,
      variables,
      (ids, results) => tracer.finish(name, ids, cuts && chooseCuts(cuts, tracer, ids, results)),
    );
    const trace = { ...traced, ...rest };
    this.#checkVariables(tracer, variables, trace);
    return trace;
  }

  /**
   * Records the function's ops. Its assignments to variables are undone afterwards.
   *
   * @param finish Takes the results, the variables' new values after them, and the results' number
   */
  #record<T>(
    tracer: Tracer,
    inputs: readonly tf.Tensor[],
    variables: readonly tf.Variable[],
    finish: (ids: TensorId[], results: number) => T,
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
      ], results.length);
      return { value, results: results.length, assigned };
    } finally {
      runtime.tracer = undefined;
      variables.forEach((variable, position) => variable.assign(values[position]));
      tf.dispose([...values, ...results]);
    }
  }

  /** Refuses a variable that is read but not listed: it would always keep its present value. */
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

/** One call of a trace: gives each part's results, by number, while the next part runs. */
class PartCalls {
  readonly #trace: Trace;
  readonly #attributes: readonly Attribute[];
  /** Tensors by number: the inputs of the trace, then the tensors that its parts pass on. */
  readonly #known: Map<number, TensorId>;
  readonly #carried = new Set<TensorId>();
  readonly #exchange: Exchange | undefined;
  /** Values that points hand out, by the point. */
  readonly #handedOut = new Map<number, TensorId>();
  #exchanged = 0;

  constructor(
    trace: Trace,
    attributes: readonly Attribute[],
    ids: readonly TensorId[],
    exchange: Exchange | undefined,
  ) {
    this.#trace = trace;
    this.#attributes = attributes;
    this.#known = new Map(ids.entries());
    this.#exchange = exchange;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Map<number, TensorMetadata>, void> {
    const { parts, points, results, assigned } = this.#trace;
    const values = results + assigned.length;
    if (parts.length === 0) return;
    let running = this.#start(parts[0]);
    let isGiven = false; // what `running` gives has an owner
    try {
      for (const [index, part] of parts.entries()) {
        const outputs = await running;
        isGiven = true;
        part.carried.forEach((number, at) => {
          const { id } = outputs[part.results.length + at];
          this.#known.set(number, id);
          this.#carried.add(id);
        });
        const given = new Map(part.results.map((result, at) => [result, outputs[at]]));
        for (const [result, { id }] of given) {
          if (result < values) continue;
          given.delete(result);
          this.#handedOut.set(result - values, id);
          this.#carried.add(id);
        }
        try {
          await this.#exchangeUntil(parts[index + 1]?.pointsBefore ?? points.length);
        } catch (error) {
          for (const { id } of given.values()) this.#carried.add(id);
          throw error;
        }
        if (index + 1 < parts.length) {
          running = this.#start(parts[index + 1]);
          isGiven = false;
        }
        yield given;
      }
    } finally {
      // Who takes the results may have failed while the next part ran.
      const lost = isGiven ? [] : await running.catch(() => []);
      for (const { id } of lost) this.#carried.add(id);
      for (const id of this.#carried) nativeBackend().runtime.deleteTensor(id);
    }
  }

  /** Exchanges the values of the points before that one. */
  async #exchangeUntil(end: number): Promise<void> {
    const { runtime } = nativeBackend();
    for (; this.#exchanged < end; this.#exchanged++) {
      const { point, takes } = this.#trace.points[this.#exchanged];
      if (!this.#exchange) throw new TypeError("A call that exchanges values without an exchange");
      const own = await runtime.readAsync(this.#handedOut.get(this.#exchanged)!) as Float32Array;
      const taken = await this.#exchange(point, own);
      const id = runtime.createTensor([point.taken], DATA_TYPES.TF_FLOAT, taken);
      this.#known.set(takes, id);
      this.#carried.add(id);
    }
  }

  #start({ name, takes, done }: TracedPart): Promise<TensorMetadata[]> {
    const { runtime } = nativeBackend();
    const inputs = takes.map((number) => this.#known.get(number)!);
    const running = runtime.executeAsync(name, this.#attributes, inputs);
    running.catch(() => {}); // it may fail before anybody waits
    // The call holds what it takes; nobody else needs these any more.
    for (const number of done) {
      const id = this.#known.get(number)!;
      this.#carried.delete(id);
      runtime.deleteTensor(id);
    }
    return running;
  }
}

/** The wanted cuts but for those before a variable's new value. */
function chooseCuts(
  cuts: Cuts,
  tracer: Tracer,
  ids: readonly TensorId[],
  results: number,
): number[] {
  const { runtime } = nativeBackend();
  const places = ids.slice(0, results).map((id) => ({
    position: tracer.positionOf(id),
    size: runtime.describe(id).shape.reduce((product, side) => product * side, 1),
  }));
  const lastValue = Math.max(-1, ...ids.slice(results).map((id) => tracer.positionOf(id)));
  return cuts(places).filter((cut) => cut >= lastValue);
}

function release({ parts, capturedInputs }: Trace): void {
  const { runtime } = nativeBackend();
  for (const { name } of parts) runtime.removeFunction(name);
  for (const id of capturedInputs) runtime.deleteTensor(id);
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
