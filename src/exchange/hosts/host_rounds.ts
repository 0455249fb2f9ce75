/**
 * Things that all hosts bring together: each host's first rank sends its host's share to the first host's first rank,
 * which sends all shares to the ranks of all hosts.
 *
 * The rounds of a kind are numbered. A share is sent again until all shares are here; who has the shares of a round
 * answers for it as long as others may lack them.
 *
 * @module
 */
import type { Link } from "../../protocol/link.ts";
import { type Fields, HOST_ROUNDS, type HostRound } from "../../protocol/messages.ts";
import type { RetriedWait } from "../../protocol/retried_wait.ts";
import { ExchangeError } from "../silence.ts";
import type { HostLayout } from "./host_layout.ts";

/** Rounds of a kind whose shares are kept: no rank is further behind. */
const KEPT = 4;

/** A wait for the shares of all hosts. */
export interface RoundWait {
  readonly askAgain: () => void;
  /** The hosts that are waited for, as far as this rank knows. */
  readonly missing: () => readonly number[];
  /** Milliseconds after which it fails; the limit of a step unless given. */
  readonly timeoutMs?: number | undefined;
}

/** The place of a rank in the rounds. */
export interface HostRoundsOptions {
  readonly layout: HostLayout;
  readonly host: number;
  /** This rank among those of its host. */
  readonly rank: number;
  /** The short messages' connection to a host's server. */
  readonly notesTo: (host: number) => Link;
  /** Waits for the others. */
  readonly wait: (
    options: RoundWait,
    signal: AbortSignal | undefined,
    begin: (wait: RetriedWait<void>) => void,
  ) => Promise<void>;
}

/** The shares of a round, by the hosts' positions. */
type Shares = readonly Uint8Array<ArrayBuffer>[];

/** The rounds of one kind. */
interface Rounds {
  /** Number of the rounds that this rank has entered. */
  entered: number;
  /** At the first host's first rank: by round, then by position. */
  readonly shares: Map<number, (Uint8Array<ArrayBuffer> | undefined)[]>;
  /** The rounds whose shares are all here. */
  readonly whole: Map<number, Shares>;
  /** The wait for each round. */
  readonly waits: Map<number, RetriedWait<void>>;
}

/** A rank's part in the rounds. */
export class HostRounds {
  readonly #options: HostRoundsOptions;
  readonly #isHub: boolean;
  readonly #rounds: Readonly<Record<HostRound, Rounds>>;

  constructor(options: HostRoundsOptions) {
    this.#options = options;
    const { layout, host, rank } = options;
    this.#isHub = host === layout.hub && rank === 0;
    this.#rounds = Object.fromEntries(
      HOST_ROUNDS.map((kind) => [
        kind,
        { entered: 0, shares: new Map(), whole: new Map(), waits: new Map() },
      ]),
    ) as unknown as Record<HostRound, Rounds>;
  }

  /**
   * Takes part in the next round of a kind.
   *
   * @param own This host's share, of which that of its first rank counts; it may change when the promise is resolved
   * @returns The shares of all hosts, by position
   */
  async gather(
    round: HostRound,
    own: Uint8Array,
    signal?: AbortSignal,
    timeoutMs?: number,
  ): Promise<Shares> {
    const rounds = this.#rounds[round];
    const index = rounds.entered++;
    const { layout, rank, host, notesTo, wait } = this.#options;
    const ofRank = own.length / layout.ranksOf(host);
    const bytes = Math.ceil(ofRank * layout.worldSize);
    const { maxPayloadBytes } = notesTo(host);
    if (bytes > maxPayloadBytes) {
      throw new ExchangeError(
        `The ${round} of all hosts take ${bytes} bytes, and a message of the nats-server has room for ${maxPayloadBytes}`,
      );
    }
    const copy = own.slice();
    if (this.#isHub) this.#put(round, index, layout.at, copy);
    const send = () => {
      if (this.#isHub) return;
      if (rank > 0) {
        const notes = notesTo(host);
        notes.publish(notes.subjects.hostNotes(host, 0), "hostSharesWanted", { round, index });
      } else {
        const notes = notesTo(layout.hub);
        const fields = { round, index, host };
        notes.publish(notes.subjects.hostNotes(layout.hub, 0), "hostShare", fields, copy);
      }
    };
    if (rank === 0) send();
    if (!rounds.whole.has(index)) {
      const missing = () => this.#missing(round, index);
      try {
        await wait(
          { askAgain: send, missing, timeoutMs },
          signal,
          (wait) => rounds.waits.set(index, wait),
        );
      } finally {
        rounds.waits.delete(index);
      }
    }
    rounds.whole.delete(index - KEPT);
    rounds.shares.delete(index - KEPT);
    return rounds.whole.get(index)!;
  }

  /** A host's share has come to the first host's first rank. */
  onShare({ round, index, host }: Fields<"hostShare">, payload: Uint8Array): void {
    if (!this.#isHub) return;
    const { layout } = this.#options;
    const rounds = this.#rounds[round];
    const whole = rounds.whole.get(index);
    if (whole) return this.#tell(host, round, index, whole);
    const at = layout.hosts.indexOf(host);
    // Nobody is further ahead than by one: the shares of this rank are missing.
    if (at < 0 || index < rounds.entered - 1 || index > rounds.entered) return;
    this.#put(round, index, at, payload.slice());
  }

  /** The shares of all hosts have come. */
  onShares({ round, index, lengths }: Fields<"hostShares">, payload: Uint8Array): void {
    const rounds = this.#rounds[round];
    const isOld = index < rounds.entered - 1 || rounds.whole.has(index);
    if (isOld || index > rounds.entered + KEPT) return;
    if (lengths.length !== this.#options.layout.hosts.length) return;
    if (lengths.reduce((sum, length) => sum + length, 0) !== payload.length) return;
    let at = 0;
    this.#finish(round, index, lengths.map((length) => payload.slice(at, at += length)));
  }

  /** A rank of this host lacks the shares of a round. */
  onWanted({ round, index }: Fields<"hostSharesWanted">): void {
    const whole = this.#rounds[round].whole.get(index);
    if (whole) this.#tell(this.#options.host, round, index, whole);
  }

  #put(round: HostRound, index: number, at: number, share: Uint8Array<ArrayBuffer>): void {
    const { layout, host } = this.#options;
    const { shares } = this.#rounds[round];
    const all = shares.get(index) ?? layout.hosts.map(() => undefined);
    shares.set(index, all);
    all[at] ??= share;
    const whole = all.filter((one) => one !== undefined);
    if (whole.length < all.length) return;
    for (const other of layout.hosts) {
      if (other !== host || layout.ranksOf(host) > 1) this.#tell(other, round, index, whole);
    }
    this.#finish(round, index, whole);
  }

  #finish(round: HostRound, index: number, shares: Shares): void {
    const rounds = this.#rounds[round];
    rounds.whole.set(index, shares);
    rounds.waits.get(index)?.finish();
  }

  #tell(host: number, round: HostRound, index: number, shares: Shares): void {
    const notes = this.#options.notesTo(host);
    const lengths = shares.map(({ length }) => length);
    const payload = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
    let at = 0;
    for (const share of shares) {
      payload.set(share, at);
      at += share.length;
    }
    notes.publish(
      notes.subjects.hostShares(host),
      "hostShares",
      { round, index, lengths },
      payload,
    );
  }

  /** The hosts whose shares are missing, as far as this rank knows. */
  #missing(round: HostRound, index: number): readonly number[] {
    const { layout } = this.#options;
    if (!this.#isHub) return [layout.hub];
    const shares = this.#rounds[round].shares.get(index);
    return layout.hosts.filter((_, at) => shares?.[at] === undefined);
  }
}
