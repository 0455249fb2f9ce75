/**
 * Takes samples at rising positions out of a stream.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import { thrownMessage, type UserModule } from "../../base/user_module.ts";
import type { DatasetSample, SampleContext, StreamedSamples } from "./user_dataset.ts";

/** A stream and the place that it has come to. */
export class SampleStream {
  readonly #samples: StreamedSamples;
  readonly #module: UserModule;
  readonly #context: SampleContext;
  #iterator: AsyncIterator<DatasetSample> | Iterator<DatasetSample> | undefined;
  #epoch = -1;
  /** Samples that have come. */
  #position = 0;
  /** Samples are taken one after the other, whoever waits for them. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(samples: StreamedSamples, module: UserModule, context: SampleContext) {
    this.#samples = samples;
    this.#module = module;
    this.#context = context;
  }

  /**
   * The sample at a position. A position before the last one, or another epoch, begins the stream anew.
   *
   * @throws {LockstepError} when the stream throws or ends too early
   */
  at(index: number, epoch: number): Promise<DatasetSample> {
    const turn = this.#turn.then(() => this.#take(index, epoch));
    this.#turn = turn.catch(() => {}); // whoever asked for it sees the error
    return turn;
  }

  /** Lets the stream clean up. */
  close(): void {
    const iterator = this.#iterator;
    this.#iterator = undefined;
    this.#turn = this.#turn.then(() => iterator?.return?.()).catch(() => {}); // nobody waits for it
  }

  async #take(index: number, epoch: number): Promise<DatasetSample> {
    try {
      if (!this.#iterator || epoch !== this.#epoch || index < this.#position) {
        await this.#begin(epoch);
      }
      while (true) {
        const { value, done } = await this.#iterator!.next();
        if (done) break;
        if (this.#position++ === index) return value;
      }
    } catch (error) {
      const what = `the stream of ${this.#context.split} samples, at ${this.#position},`;
      this.#iterator = undefined;
      const message = thrownMessage(this.#module, what, error);
      throw new LockstepError(message.charAt(0).toUpperCase() + message.slice(1), { cause: error });
    }
    this.#iterator = undefined;
    throw new LockstepError(
      `The stream of ${this.#context.split} samples of ${this.#module.url} ended after ` +
        `${this.#position}, but its length is ${this.#samples.length}: give the number of its samples`,
    );
  }

  async #begin(epoch: number): Promise<void> {
    await this.#iterator?.return?.();
    const stream = this.#samples.stream({ ...this.#context, epoch });
    this.#iterator = Symbol.asyncIterator in stream
      ? stream[Symbol.asyncIterator]()
      : stream[Symbol.iterator]();
    this.#epoch = epoch;
    this.#position = 0;
  }
}
