/**
 * The ranks of all hosts, as those who exchange see them, and the cuts of a vector between two hosts.
 *
 * @module
 */
import { type FloatRange, overlap, shardOf } from "../../base/float_range.ts";
import { itemAt } from "../../base/item_at.ts";
import type { GradientDtype } from "../../protocol/messages.ts";

/** A part of a range that travels in one message. */
export interface Segment extends FloatRange {
  /** The rank at the other host, among that host's own. */
  readonly rank: number;
  readonly dtype: GradientDtype;
}

/** The shape of the vectors. */
export interface HostVectors {
  /** Length of a vector. */
  readonly floats: number;
  /** Floats of a vector that are gradients; the rest is always float32. */
  readonly gradientFloats: number;
  /** The format in which gradients travel between hosts. */
  readonly dtype: GradientDtype;
}

/** The hosts that have ranks, in order, and the place of this one among them. */
export class HostLayout {
  /** The hosts' indices. */
  readonly hosts: readonly number[];
  /** By position: the number of the host's ranks. */
  readonly ranks: readonly number[];
  /** The position of this host. */
  readonly at: number;
  readonly firstRank: number;

  /**
   * @param ranks By host: the number of its ranks, which may be 0
   * @param host This host, which has ranks
   * @throws {RangeError} When it has none
   */
  constructor(ranks: readonly number[], host: number) {
    this.hosts = [...ranks.keys()].filter((index) => itemAt(ranks, index) > 0);
    this.ranks = this.hosts.map((index) => itemAt(ranks, index));
    this.at = this.hosts.indexOf(host);
    if (this.at < 0) throw new RangeError(`Host ${host} has no rank: ${ranks.join(", ")}`);
    this.firstRank = this.ranks.slice(0, this.at).reduce((sum, count) => sum + count, 0);
  }

  /** The host before this one in the chain. */
  get before(): number | undefined {
    return this.hosts[this.at - 1];
  }

  /** The host after this one in the chain. */
  get after(): number | undefined {
    return this.hosts[this.at + 1];
  }

  /** The host whose first rank brings things together. */
  get hub(): number {
    return itemAt(this.hosts, 0);
  }

  /** The number of a host's ranks. */
  ranksOf(host: number): number {
    return itemAt(this.ranks, this.hosts.indexOf(host));
  }

  /** The number of all ranks. */
  get worldSize(): number {
    return this.ranks.reduce((sum, count) => sum + count, 0);
  }
}

/** Tells whether the ranks of a layout are on several hosts. */
export function spansHosts(ranks: readonly number[]): boolean {
  return ranks.filter((count) => count > 0).length > 1;
}

/** Cuts ranges by the shards of another host's ranks. */
export class Cuts {
  readonly #shards: readonly FloatRange[];
  readonly #vectors: HostVectors;

  /** @param ranks Number of the other host's ranks */
  constructor(ranks: number, vectors: HostVectors) {
    this.#vectors = vectors;
    const bytes = vectors.floats * Float32Array.BYTES_PER_ELEMENT;
    this.#shards = Array.from({ length: ranks }, (_, rank) => shardOf(rank, ranks, bytes));
  }

  /** The parts of a range, in order: each is of one rank and of one format. */
  of(range: FloatRange): Segment[] {
    const { gradientFloats, dtype, floats } = this.#vectors;
    const border = dtype === "float32" ? 0 : gradientFloats;
    const kinds = [
      { begin: 0, end: border, dtype },
      { begin: border, end: floats, dtype: "float32" as const },
    ];
    return this.#shards.flatMap((shard, rank) =>
      kinds
        .map((kind) => ({
          ...overlap(overlap(range, shard), kind),
          rank,
          dtype: kind.dtype,
        }))
        .filter(({ begin, end }) => begin < end)
    );
  }
}
