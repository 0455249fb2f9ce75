/**
 * The settings of a rank's link to the ranks of other hosts.
 *
 * @module
 */
import type { NatsAddress } from "../../protocol/address.ts";
import type { RunIdentity } from "../../protocol/subjects.ts";
import type { HostVectors } from "./host_layout.ts";

/** The nats-server of a host, as another host sees it. */
export interface HostServer {
  /** Name of the host at the start of a sentence, such as `Host 1 (lab2)`. */
  readonly name: string;
  /** The address by which the host that connects reaches the server; `own: true`, as it lets in this run alone. */
  readonly address: NatsAddress;
}

/** The settings of {@linkcode openHostLink}. */
export interface HostLinkOptions extends HostVectors {
  readonly run: RunIdentity;
  /** Of the ranks: see `cluster/recover.ts`. */
  readonly generation: number;
  /** By host: the number of its ranks; 0 for a host that only coordinates. */
  readonly ranks: readonly number[];
  /** The index of this host. */
  readonly host: number;
  /** This rank among those of its host, from 0. */
  readonly rank: number;
  /** By host. The entries of hosts without ranks are not used. */
  readonly servers: readonly HostServer[];
  /** Milliseconds without any progress after which a step fails (210000 unless set). */
  readonly timeoutMs?: number | undefined;
  /** Milliseconds without any answer of a neighbouring host, which is in the same sum, after which it fails (60000). */
  readonly silenceMs?: number | undefined;
  /** Milliseconds for which the lost server of a host is waited for (30000 unless set). */
  readonly reconnectMs?: number | undefined;
  /** Ends the opening, and all waits of the link. */
  readonly signal?: AbortSignal | undefined;
}
