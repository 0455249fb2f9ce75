/**
 * A rank's link to the ranks of other hosts, over the hosts' nats-servers.
 *
 * Each host has a server of its own, to which its ranks listen; who sends to a host publishes there. A part of a sum
 * goes from a rank to the rank of the next host whose shard it is in, and the total comes back the same way. The two
 * ways don't wait for each other.
 *
 * @module
 */
import type { FloatRange } from "../../base/float_range.ts";
import { itemAt } from "../../base/item_at.ts";
import type { StepKey } from "../../base/step_key.ts";
import { FRAME_HEADER_BYTES } from "../../protocol/codec.ts";
import type { Header, HostWay } from "../../protocol/messages.ts";
import type { HostLink, HostRecord } from "../host_link.ts";
import { narrow, widen } from "../narrow.ts";
import { closedError, ExchangeError, RANK_TIMEOUT_MS } from "../silence.ts";
import { partFloats } from "../shard_sum.ts";
import { Cuts, HostLayout } from "./host_layout.ts";
import type { HostLinkOptions } from "./host_link_options.ts";
import { HostRounds, type RoundWait } from "./host_rounds.ts";
import { decodeRecords, decodeValues, encodeRecords, encodeValues } from "./host_shares.ts";
import { IncomingParts } from "./incoming_parts.ts";
import { OutgoingParts } from "./outgoing_parts.ts";
import { PartMemory } from "./part_memory.ts";
import { PeerLinks } from "./peer_links.ts";
import { PeerWaits } from "./peer_waits.ts";

/** Milliseconds without any answer of a rank that is in the same sum. */
const SILENCE_MS = 60_000;

/** Milliseconds after which a rank asks for the first time; before it gives up, it has asked at least so many times. */
const FIRST_ASK_MS = 500;
const ASKS = 4;

/** Bytes that may be on their way to a rank, or wait there, one way. */
const WINDOW_BYTES = 16 * 2 ** 20;
const MIN_WINDOW_BYTES = 2 * 2 ** 20;
/** Share of a window after whose use the sender is told. */
const ACK_SHARE = 1 / 8;

/**
 * Connects a rank to those of the other hosts; all ranks of all hosts call it.
 *
 * @throws {ExchangeError} When the server of a host can't be reached, naming the host
 * @throws The signal's reason when it fires
 */
export async function openHostLink(options: HostLinkOptions): Promise<NetworkHostLink> {
  const layout = new HostLayout(options.ranks, options.host);
  const waits = new PeerWaits();
  const links = await PeerLinks.open(options, layout, (error) => waits.end(error));
  try {
    const link = new NetworkHostLink(options, layout, links, waits);
    await links.flush();
    return link;
  } catch (error) {
    await links[Symbol.asyncDispose]();
    throw error;
  }
}

/** A link over the network. */
export class NetworkHostLink implements HostLink {
  readonly ranks: readonly number[];
  readonly firstRank: number;
  readonly #options: HostLinkOptions;
  readonly #layout: HostLayout;
  readonly #links: PeerLinks;
  readonly #waits: PeerWaits;
  readonly #rounds: HostRounds;
  readonly #cuts: Readonly<Record<"before" | "after", Cuts | undefined>>;
  readonly #memory: PartMemory;
  /** By the rank at the neighbouring host: what this rank sends it, and gets from it. */
  readonly #outgoing: Readonly<Record<HostWay, readonly OutgoingParts[]>>;
  readonly #incoming: Readonly<Record<HostWay, readonly IncomingParts[]>>;
  /** On the last host: whether the ranges whose totals are not fetched yet are empty. */
  readonly #isEmpty: boolean[] = [];
  #before = new Float32Array(0);
  #place: StepKey | undefined;

  /** Use {@linkcode openHostLink}. */
  constructor(
    options: HostLinkOptions,
    layout: HostLayout,
    links: PeerLinks,
    waits: PeerWaits,
  ) {
    this.#options = options;
    this.#layout = layout;
    this.#links = links;
    this.#waits = waits;
    this.ranks = layout.ranks;
    this.firstRank = layout.firstRank;
    const { before, after } = layout;
    const cut = (host: number | undefined) =>
      host === undefined ? undefined : new Cuts(layout.ranksOf(host), options);
    this.#cuts = { before: cut(before), after: cut(after) };
    const longest = partFloats(options.floats) * Float32Array.BYTES_PER_ELEMENT;
    this.#memory = new PartMemory(FRAME_HEADER_BYTES + longest);
    this.#outgoing = {
      sums: this.#outgoingTo(after, "sums"),
      totals: this.#outgoingTo(before, "totals"),
    };
    this.#incoming = {
      sums: this.#incomingFrom(before, "sums"),
      totals: this.#incomingFrom(after, "totals"),
    };
    this.#rounds = new HostRounds({
      layout,
      host: options.host,
      rank: options.rank,
      notesTo: (host) => links.to(host, "notes"),
      wait: (options, signal, begin) => this.#waitForRound(options, signal, begin),
    });
    this.#listen();
    options.signal?.addEventListener("abort", this.#onAbort);
    if (options.signal?.aborted) this.#onAbort();
  }

  async contributions(
    step: StepKey,
    own: readonly HostRecord[],
    signal?: AbortSignal,
  ): Promise<readonly HostRecord[]> {
    this.#place = { epoch: step.epoch, step: step.step };
    const shares = await this.#rounds.gather("contributions", encodeRecords(own), signal);
    return shares.flatMap((share) => decodeRecords(share));
  }

  async results(
    _step: StepKey,
    own: readonly HostRecord[],
    signal?: AbortSignal,
  ): Promise<readonly HostRecord[]> {
    const shares = await this.#rounds.gather("results", encodeRecords(own), signal);
    return shares.flatMap((share) => decodeRecords(share));
  }

  async values(
    own: readonly Float64Array[],
    signal?: AbortSignal,
  ): Promise<readonly Float64Array[]> {
    const shares = await this.#rounds.gather("values", encodeValues(own), signal);
    return shares.flatMap((share, at) => decodeValues(share, itemAt(this.ranks, at)));
  }

  async texts(
    own: readonly string[],
    limits?: Parameters<HostLink["texts"]>[1],
  ): Promise<readonly string[]> {
    const bytes = new TextEncoder().encode(JSON.stringify(own));
    const shares = await this.#rounds.gather("texts", bytes, limits?.signal, limits?.timeoutMs);
    return shares.flatMap((share) => JSON.parse(new TextDecoder().decode(share)) as string[]);
  }

  async before(range: FloatRange, signal?: AbortSignal): Promise<Float32Array | undefined> {
    const { before: cuts } = this.#cuts;
    if (!cuts) return undefined;
    const { begin, end } = range;
    if (this.#before.length < end - begin) this.#before = new Float32Array(end - begin);
    const sum = this.#before.subarray(0, end - begin);
    return await this.#take("sums", cuts, range, sum, signal) ? sum : undefined;
  }

  async after(
    range: FloatRange,
    sum: Float32Array | undefined,
    signal?: AbortSignal,
  ): Promise<void> {
    const { before, after } = this.#cuts;
    if (after) return await this.#send("sums", after, range, sum, signal);
    this.#isEmpty.push(sum === undefined);
    if (before) await this.#send("totals", before, range, sum, signal);
  }

  async total(range: FloatRange, sum: Float32Array, signal?: AbortSignal): Promise<boolean> {
    const { before, after } = this.#cuts;
    if (!after) {
      const isEmpty = this.#isEmpty.shift();
      if (isEmpty === undefined) throw new TypeError("total() was called before after()");
      if (!isEmpty) this.#round(range, sum);
      return !isEmpty;
    }
    const hasValues = await this.#take("totals", after, range, sum, signal);
    if (before) await this.#send("totals", before, range, hasValues ? sum : undefined, signal);
    return hasValues;
  }

  async close(): Promise<void> {
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#waits.end(closedError());
    await this.#links[Symbol.asyncDispose]();
  }

  readonly #onAbort = () => this.#waits.end(this.#options.signal!.reason);

  /** Brings a sum into the form in which the other hosts get it. */
  #round({ begin }: FloatRange, sum: Float32Array): void {
    const { dtype, gradientFloats } = this.#options;
    const narrowed = sum.subarray(0, Math.max(0, gradientFloats - begin));
    if (dtype === "float32" || narrowed.length === 0) return;
    const bytes = this.#memory.take(2 * narrowed.length);
    narrow(bytes, narrowed, dtype);
    widen(narrowed, bytes, dtype);
    this.#memory.give(bytes);
  }

  async #send(
    way: HostWay,
    cuts: Cuts,
    range: FloatRange,
    sum: Float32Array | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    this.#waits.throwIfEnded();
    for (const segment of cuts.of(range)) {
      const values = sum?.subarray(segment.begin - range.begin, segment.end - range.begin);
      await itemAt(this.#outgoing[way], segment.rank).send(segment, values, signal);
    }
  }

  /** Puts a range that comes from the neighbours into a place; returns false where no rank has a share in it. */
  async #take(
    way: HostWay,
    cuts: Cuts,
    range: FloatRange,
    target: Float32Array,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    let hasValues = false;
    for (const { rank, begin, end } of cuts.of(range)) {
      for (let at = begin; at < end;) {
        at += await itemAt(this.#incoming[way], rank).take(at, signal, (values) => {
          if (!values) return;
          hasValues = true;
          target.set(values, at - range.begin);
        });
      }
    }
    return hasValues;
  }

  #outgoingTo(host: number | undefined, way: HostWay): OutgoingParts[] {
    if (host === undefined) return [];
    const data = this.#links.to(host, way);
    const { host: own, rank: ownRank } = this.#options;
    // All ranks of this host may send to one of the other at the same time.
    const windowBytes = windowOf(itemAt(this.ranks, this.#layout.at));
    return Array.from(
      { length: this.#layout.ranksOf(host) },
      (_, rank) =>
        new OutgoingParts({
          ...{ data, windowBytes },
          dataSubject: data.subjects.hostParts(host, rank, way),
          sender: { way, host: own, rank: ownRank },
          memory: this.#memory,
          wait: (askAgain, signal, begin) =>
            this.#waitForPeer(host, "use what was sent", askAgain, signal, begin),
        }),
    );
  }

  #incomingFrom(host: number | undefined, way: HostWay): IncomingParts[] {
    if (host === undefined) return [];
    const notes = this.#links.to(host, "notes");
    const { host: own, rank: ownRank } = this.#options;
    const count = this.#layout.ranksOf(host);
    const what = way === "sums" ? "send its part of the sum" : "send the sum of all hosts";
    return Array.from({ length: count }, (_, rank) =>
      new IncomingParts({
        notes,
        notesSubject: notes.subjects.hostNotes(host, rank),
        receiver: { way, host: own, rank: ownRank },
        ackBytes: ACK_SHARE * windowOf(count),
        memory: this.#memory,
        wait: (askAgain, signal, begin) => this.#waitForPeer(host, what, askAgain, signal, begin),
      }));
  }

  #listen(): void {
    const { host, rank } = this.#options;
    for (const way of ["sums", "totals"] as const) {
      const flows = this.#incoming[way];
      if (flows.length === 0) continue;
      const link = this.#links.to(host, way);
      const flowOf = ({ rank }: Pick<Header<"hostPart">, "rank">) => flows[rank];
      link.subscribe(link.subjects.hostParts(host, rank, way), {
        hostPart: ({ header, payload }) => flowOf(header)?.onPart(header, payload),
        hostProbe: ({ header }) => flowOf(header)?.onProbe(header),
      }, {
        onCorrupt: (header) => {
          if ("part" in header) flowOf(header)?.onDamaged(header.part);
        },
      });
    }
    const notes = this.#links.to(host, "notes");
    notes.subscribe(notes.subjects.hostNotes(host, rank), {
      hostAck: ({ header }) => this.#outgoing[header.way][header.rank]?.onAck(header),
      hostShare: ({ header, payload }) => this.#rounds.onShare(header, payload),
      hostSharesWanted: ({ header }) => this.#rounds.onWanted(header),
    });
    notes.subscribe(notes.subjects.hostShares(host), {
      hostShares: ({ header, payload }) => this.#rounds.onShares(header, payload),
    });
    this.#links.onReconnect(() => this.#waits.askSoon());
  }

  async #waitForPeer(
    host: number,
    what: string,
    askAgain: () => void,
    signal: AbortSignal | undefined,
    begin: Parameters<PeerWaits["wait"]>[2],
  ): Promise<void> {
    const { silenceMs = SILENCE_MS, timeoutMs = RANK_TIMEOUT_MS } = this.#options;
    const firstAskMs = Math.min(FIRST_ASK_MS, silenceMs / ASKS);
    const name = this.#nameOf(host);
    const options = {
      ...{ silenceMs: Math.min(silenceMs, timeoutMs), timeoutMs, firstAskMs, askAgain },
      isExcused: () => this.#links.serverGone,
      silence: (seconds: number) =>
        new ExchangeError(`${name} has not answered for ${seconds} s${this.#inStep()}`),
      standstill: (seconds: number) =>
        new ExchangeError(`${name} answers, but did not ${what} for ${seconds} s${this.#inStep()}`),
    };
    await this.#waits.wait(options, signal, begin);
  }

  async #waitForRound(
    { askAgain, missing, timeoutMs = this.#options.timeoutMs ?? RANK_TIMEOUT_MS }: RoundWait,
    signal: AbortSignal | undefined,
    begin: Parameters<PeerWaits["wait"]>[2],
  ): Promise<void> {
    const { rank } = this.#options;
    // The first host's first rank knows which host is missing: the others give it time to say so.
    const isHub = this.#options.host === this.#layout.hub && rank === 0;
    const firstAskMs = Math.min(FIRST_ASK_MS, timeoutMs / ASKS);
    const options = {
      silenceMs: isHub ? timeoutMs : timeoutMs * LATER,
      ...{ firstAskMs, askAgain },
      isExcused: () => this.#links.serverGone,
      silence: (seconds: number) => {
        const names = missing().map((host) => this.#nameOf(host)).join(" and ");
        return new ExchangeError(
          isHub
            ? `${names} has not come to the same point for ${seconds} s${this.#inStep()}`
            : `${names} has not brought all hosts together for ${seconds} s${this.#inStep()}`,
        );
      },
    };
    await this.#waits.wait(options, signal, begin);
  }

  #nameOf(host: number): string {
    return itemAt(this.#options.servers, host).name;
  }

  #inStep(): string {
    return this.#place ? ` in epoch ${this.#place.epoch}, step ${this.#place.step}` : "";
  }
}

/** The wait of those who don't know whom they wait for is longer by this factor. */
const LATER = 1.1;

function windowOf(senders: number): number {
  return Math.max(MIN_WINDOW_BYTES, WINDOW_BYTES / senders);
}
