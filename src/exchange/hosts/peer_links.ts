/**
 * A rank's connections: to the server of its own host, to those of the neighbouring hosts, and, for the ranks that speak
 * for their hosts, between the first host and the others.
 *
 * Parts of vectors and short messages have connections of their own: a short message would have to wait behind
 * megabytes. The two ways of the vectors have connections of their own, as a nats-server serves each of them by one
 * thread.
 *
 * @module
 */
import { messageOf } from "../../base/errors.ts";
import { itemAt } from "../../base/item_at.ts";
import { Link } from "../../protocol/link.ts";
import { ExchangeError } from "../silence.ts";
import type { HostLayout } from "./host_layout.ts";
import type { HostLinkOptions } from "./host_link_options.ts";

/** The uses of a connection. */
export type LinkUse = "notes" | "sums" | "totals";

/** The connections of a rank. */
export class PeerLinks implements AsyncDisposable {
  readonly #links: ReadonlyMap<string, Link>;

  private constructor(links: ReadonlyMap<string, Link>) {
    this.#links = links;
  }

  /**
   * Connects to all servers that the rank needs.
   *
   * @throws {ExchangeError} When one can't be reached, naming its host
   * @throws The signal's reason when it fires
   */
  static async open(
    options: HostLinkOptions,
    layout: HostLayout,
    onFailure: (error: Error) => void,
  ): Promise<PeerLinks> {
    const { run, servers, generation, reconnectMs, signal } = options;
    const from = `rank ${layout.firstRank + options.rank}`;
    const links = new Map<string, Link>();
    const open = async ([host, use]: Need) => {
      const { name, address } = itemAt(servers, host);
      const describe = (error: unknown) =>
        new ExchangeError(`${name}: ${messageOf(error)}`, { cause: error });
      const link = await Link.openPatiently(address, run, from, { reconnectMs, signal })
        .catch((error) => {
          signal?.throwIfAborted();
          throw describe(error);
        });
      links.set(nameOf(host, use), link);
      link.enterGeneration(generation);
      const fail = () => onFailure(signal?.aborted ? signal.reason : describe(link.failed.reason));
      link.failed.addEventListener("abort", fail);
      if (link.failed.aborted) fail();
    };
    const outcomes = await Promise.allSettled(needsOf(layout, options).map(open));
    const peers = new PeerLinks(links);
    const failed = outcomes.find(({ status }) => status === "rejected");
    if (!failed || failed.status === "fulfilled") return peers;
    await peers[Symbol.asyncDispose]();
    throw failed.reason;
  }

  /** The connection to a host's server for a use. */
  to(host: number, use: LinkUse): Link {
    const link = this.#links.get(nameOf(host, use));
    if (!link) throw new TypeError(`No connection to host ${host} for ${use}`);
    return link;
  }

  /** True while one of the servers is gone, so that nobody can answer. */
  get serverGone(): boolean {
    return [...this.#links.values()].some((link) => link.serverGone);
  }

  /** Calls `listener` when a lost connection is back. */
  onReconnect(listener: () => void): void {
    for (const link of this.#links.values()) link.onReconnect(listener);
  }

  /** Waits until the servers know the subscriptions. */
  async flush(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.flush()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.close()));
  }
}

type Need = readonly [host: number, use: LinkUse];

function nameOf(host: number, use: LinkUse): string {
  return `${host} ${use}`;
}

/** The connections that a rank needs. */
function needsOf(layout: HostLayout, { host, rank }: HostLinkOptions): Need[] {
  const { before, after, hub, hosts } = layout;
  const needs: Need[] = [[host, "notes"]];
  if (before !== undefined) needs.push([host, "sums"], [before, "notes"], [before, "totals"]);
  if (after !== undefined) needs.push([host, "totals"], [after, "notes"], [after, "sums"]);
  if (rank === 0 && host !== hub) needs.push([hub, "notes"]);
  if (rank === 0 && host === hub) needs.push(...hosts.map((other): Need => [other, "notes"]));
  const names = new Set<string>();
  return needs.filter(([host, use]) => {
    const name = nameOf(host, use);
    return !names.has(name) && names.add(name);
  });
}
