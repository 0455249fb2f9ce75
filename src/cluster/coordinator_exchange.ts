/**
 * The coordinator's end of a run's exchange: the memory that the ranks of each host share, and the reducer that decides on
 * each step.
 *
 * @module
 */
import type { SegmentAddress, SegmentPlace } from "../base/shared_memory.ts";
import { itemAt } from "../base/item_at.ts";
import type { Reducer } from "../exchange/gradient_exchange.ts";
import { HostsReducer } from "../exchange/hosts_reducer.ts";
import { agreeOnSegment, openReducer } from "../exchange/open_exchange.ts";
import type { ExchangeChoice } from "../exchange/registry.ts";
import type { LocalSegment } from "../hosts/local_host.ts";
import type { HostSegment, WorkerHost } from "../hosts/worker_host.ts";
import type { Link } from "../protocol/link.ts";
import type { GradientDtype } from "../protocol/messages.ts";

/** The exchange of a cluster's ranks. */
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

/** The ranks of one host, which are numbered host by host. */
export interface HostRanks {
  readonly host: WorkerHost;
  readonly ranks: number;
}

type Vectors = Omit<ExchangeOptions, "kind" | "dtype">;

/** The coordinator's end of an exchange. */
export class CoordinatorExchange implements AsyncDisposable {
  readonly #link: Link;
  readonly #hosts: readonly HostRanks[];
  readonly #options: ExchangeOptions;
  readonly #warn: (message: string) => void;
  /** By host: the memory that its workers test before they join; none where the vectors go over NATS anyway. */
  readonly #segments: readonly HostSegment[] | undefined;
  #isAgreed = false;
  #describe: (rank: number) => string | undefined = () => undefined;
  #reducer: Reducer | undefined;

  private constructor(
    link: Link,
    hosts: readonly HostRanks[],
    options: ExchangeOptions,
    segments: readonly HostSegment[] | undefined,
    warn: (message: string) => void,
  ) {
    this.#link = link;
    this.#hosts = hosts;
    this.#options = options;
    this.#segments = segments;
    this.#warn = warn;
  }

  /**
   * Makes it, with the shared memory of each host if the vectors are to go through it.
   *
   * @throws {LockstepError} when shared memory was requested and isn't available
   */
  static async make(
    link: Link,
    hosts: readonly HostRanks[],
    options: ExchangeOptions,
    warn: (message: string) => void,
  ): Promise<CoordinatorExchange> {
    const segments = await makeSegments(hosts, options, warn);
    return new CoordinatorExchange(link, hosts, options, segments, warn);
  }

  /** The hosts with ranks in this exchange, in order. */
  get hosts(): readonly HostRanks[] {
    return this.#hosts;
  }

  /** The memory that the workers of a host test before they join. */
  segmentOf(host: WorkerHost): SegmentAddress | undefined {
    const at = this.#hosts.findIndex((each) => each.host === host);
    return at < 0 ? undefined : this.#segments?.[at]?.address;
  }

  /** The memory of the exchange by host, once it is open; nothing where the vectors go over NATS. */
  get places(): readonly SegmentPlace[] | undefined {
    if (!this.#isAgreed) return undefined;
    return this.#segments?.map(({ address: { path, bytes } }) => ({ path, bytes }));
  }

  /** The coordinator's end of the all-reduce; open once the workers have joined. */
  get reducer(): Reducer {
    if (!this.#reducer) throw new TypeError("The exchange isn't open yet");
    return this.#reducer;
  }

  /**
   * Chooses the transport of the vectors and opens the reducer.
   *
   * @param problems By rank: the reason why the rank can't use its host's segment, or null
   * @param describe Describes a rank's last activity, as a sentence, for messages
   * @returns The memory by host, if the vectors go through it
   * @throws {LockstepError} when shared memory was requested and a rank can't use it
   */
  async open(
    problems: readonly (string | null)[],
    describe: (rank: number) => string | undefined,
  ): Promise<readonly SegmentPlace[] | undefined> {
    const { kind, dtype, vectorBytes, regions, gradientBytes } = this.#options;
    this.#describe = describe;
    if (this.#segments && agreeOnSegment(kind, problems, this.#warn)) {
      this.#isAgreed = true;
      if (dtype !== "float32" && this.#hosts.length === 1) {
        this.#warn(
          `nats.gradientDtype is ${dtype}, but gradients go through shared memory as float32: ` +
            "set exchange to nats to send them as it says",
        );
      }
    }
    await this.#openReducer({ vectorBytes, regions, gradientBytes });
    return this.places;
  }

  /**
   * Prepares the coordinator's end for vectors of another length, at most that of the first ones, that hold
   * gradients alone. No step may be running, and the workers must reopen their ends.
   */
  async changeVector(vectorBytes: number): Promise<void> {
    await this.#reducer?.close();
    await this.#openReducer({ vectorBytes, regions: 1, gradientBytes: vectorBytes });
  }

  async #openReducer(vectors: Vectors): Promise<void> {
    const shape = shapeOf(this.#hosts, { ...this.#options, ...vectors });
    const options = { ...shape, worldSize: worldSizeOf(this.#hosts), describe: this.#describe };
    const segments = this.#isAgreed ? this.#segments : undefined;
    const [first] = segments ?? [];
    if (segments?.length === 1 && first && isLocal(first)) {
      const place = { path: first.ownPath, bytes: first.address.bytes };
      this.#reducer = await openReducer(this.#link, options, place);
    } else if (segments) {
      this.#reducer = await HostsReducer.open(
        options,
        this.#hosts.map(({ ranks }, at) => ({
          ranks,
          open: itemAt(segments, at).meeting({ ...shape, worldSize: ranks }),
        })),
      );
    } else this.#reducer = await openReducer(this.#link, options, undefined);
  }

  /** Gives the memory back to the system, whoever still maps it. */
  release(): void {
    this.#segments?.forEach((segment) => segment.release());
    this.disposeSegments();
  }

  /** Gives up the memory, which remains as long as a worker maps it. */
  disposeSegments(): void {
    this.#segments?.forEach((segment) => segment[Symbol.dispose]());
  }

  /** Closes the reducer; the shared memory remains until it is disposed of. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reducer?.close();
  }
}

function isLocal(segment: HostSegment): segment is LocalSegment {
  return "ownPath" in segment;
}

function worldSizeOf(hosts: readonly HostRanks[]): number {
  return hosts.reduce((sum, { ranks }) => sum + ranks, 0);
}

/** The shape that all hosts have in common. Where there are several, each rank sums a shard, however short. */
function shapeOf(
  hosts: readonly HostRanks[],
  { vectorBytes, regions, dtype, gradientBytes }: Omit<ExchangeOptions, "kind">,
) {
  const wire = { dtype, gradientBytes };
  return { vectorBytes, regions, wire, ...(hosts.length > 1 ? { maxWholeBytes: 0 } : {}) };
}

/** Makes the memory of all hosts, or of none. */
async function makeSegments(
  hosts: readonly HostRanks[],
  options: ExchangeOptions,
  warn: (message: string) => void,
): Promise<readonly HostSegment[] | undefined> {
  const shape = shapeOf(hosts, options);
  const made = await Promise.allSettled(
    hosts.map(({ host, ranks }) =>
      host.makeSegment(options.kind, { ...shape, worldSize: ranks }, warn)
    ),
  );
  const segments = made.flatMap((result) =>
    result.status === "fulfilled" ? result.value ?? [] : []
  );
  if (segments.length === hosts.length) return segments;
  segments.forEach((segment) => segment[Symbol.dispose]());
  const failed = made.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
  return undefined;
}
