/**
 * The coordinator's end of a run's exchange: the memory that the ranks share, and the reducer that decides on
 * each step.
 *
 * @module
 */
import type { SegmentPlace, SharedSegment } from "../base/shared_memory.ts";
import type { Reducer } from "../exchange/gradient_exchange.ts";
import { agreeOnSegment, makeSegment, openReducer } from "../exchange/open_exchange.ts";
import type { ExchangeChoice } from "../exchange/registry.ts";
import type { Link } from "../protocol/link.ts";
import type { GradientDtype } from "../protocol/messages.ts";

/** The exchange that a cluster hosts. */
export interface ExchangeOptions {
  readonly kind: ExchangeChoice;
  /** The dtype in which gradients travel over NATS. */
  readonly dtype: GradientDtype;
  /** Length of the vector that each rank contributes. */
  readonly vectorBytes: number;
  /** Number of vectors that all ranks share. */
  readonly regions: number;
  /** Number of bytes at the start of an exchanged vector that hold gradients. */
  readonly gradientBytes: number;
}

/** The coordinator's end of an exchange. */
export class ExchangeHost implements AsyncDisposable {
  /** The shared memory that workers test before they join; `undefined` if the vectors go over NATS anyway. */
  readonly segment: SharedSegment | undefined;
  readonly #link: Link;
  readonly #worldSize: number;
  readonly #options: ExchangeOptions;
  readonly #warn: (message: string) => void;
  #agreed: SegmentPlace | undefined;
  #describe: (rank: number) => string | undefined = () => undefined;
  #reducer: Reducer | undefined;

  /**
   * Allocates the shared memory, if the vectors are to go through it.
   *
   * @throws {LockstepError} when shared memory was requested and isn't available
   */
  constructor(
    link: Link,
    worldSize: number,
    options: ExchangeOptions,
    warn: (message: string) => void,
  ) {
    this.#link = link;
    this.#worldSize = worldSize;
    this.#options = options;
    this.#warn = warn;
    const { kind, vectorBytes, regions, dtype, gradientBytes } = options;
    const shape = { worldSize, vectorBytes, regions, wire: { dtype, gradientBytes } };
    this.segment = makeSegment(kind, shape, warn);
  }

  /** The coordinator's end of the all-reduce; open once the workers have joined. */
  get reducer(): Reducer {
    if (!this.#reducer) throw new TypeError("The exchange isn't open yet");
    return this.#reducer;
  }

  /**
   * Chooses the transport of the vectors and opens the reducer.
   *
   * @param problems By rank: the reason why the rank can't use the segment, or null
   * @param describe Describes a rank's last activity, as a sentence, for messages
   * @returns The memory, if the vectors go through it
   * @throws {LockstepError} when shared memory was requested and a rank can't use it
   */
  async open(
    problems: readonly (string | null)[],
    describe: (rank: number) => string | undefined,
  ): Promise<SegmentPlace | undefined> {
    const { kind, dtype, vectorBytes, regions, gradientBytes } = this.#options;
    this.#describe = describe;
    if (this.segment && agreeOnSegment(kind, problems, this.#warn)) {
      const { path, bytes } = this.segment;
      this.#agreed = { path, bytes };
      if (dtype !== "float32") {
        this.#warn(
          `nats.gradientDtype is ${dtype}, but gradients go through shared memory as float32: ` +
            "set exchange to nats to send them as it says",
        );
      }
    }
    await this.#openReducer({ vectorBytes, regions, gradientBytes });
    return this.#agreed;
  }

  /**
   * Prepares the coordinator's end for vectors of another length, at most that of the first ones, that hold
   * gradients alone. No step may be running, and the workers must reopen their ends.
   */
  async changeVector(vectorBytes: number): Promise<void> {
    await this.#reducer?.close();
    await this.#openReducer({ vectorBytes, regions: 1, gradientBytes: vectorBytes });
  }

  async #openReducer(
    { vectorBytes, regions, gradientBytes }: Omit<ExchangeOptions, "kind" | "dtype">,
  ): Promise<void> {
    const wire = { dtype: this.#options.dtype, gradientBytes };
    const shape = { worldSize: this.#worldSize, vectorBytes, regions, wire };
    this.#reducer = await openReducer(
      this.#link,
      { ...shape, describe: this.#describe },
      this.#agreed && this.segment && { ...this.#agreed, path: this.segment.ownPath },
    );
  }

  /** Closes the reducer; the shared memory remains until it is disposed of. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reducer?.close();
  }
}
