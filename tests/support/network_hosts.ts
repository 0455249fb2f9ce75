/**
 * Hosts that are all on this machine, each with a nats-server of its own.
 *
 * @module
 */
import { given } from "../../src/base/given.ts";
import { itemAt } from "../../src/base/item_at.ts";
import type { HostLinkOptions } from "../../src/exchange/hosts/host_link_options.ts";
import { type NetworkHostLink, openHostLink } from "../../src/exchange/hosts/network_host_link.ts";
import { type Broker, type BrokerOptions, startBroker } from "../../src/hosts/broker.ts";
import { makeCertificate } from "../../src/hosts/own_certificate.ts";
import type { NatsAddress } from "../../src/protocol/address.ts";
import { fingerprint } from "../../src/protocol/fingerprint.ts";
import { makeRunIdentity } from "../../src/protocol/subjects.ts";
import { natsServerProgram } from "./nats_server.ts";

/** Settings of the hosts. */
export interface NetworkHostsOptions
  extends Partial<Omit<HostLinkOptions, "run" | "ranks" | "host" | "rank" | "servers">> {
  /** Have the servers speak TLS with the other hosts. */
  readonly tls?: boolean;
  /** The address of a host's server for another host, unless that is the server's own. */
  readonly addressOf?: (server: NatsAddress, host: number) => NatsAddress;
}

/** The hosts. */
export interface NetworkHosts extends AsyncDisposable {
  readonly brokers: Broker[];
  /** By host, then by rank. */
  readonly links: readonly (readonly NetworkHostLink[])[];
  /** Starts a host's server again at its port. */
  restart(host: number): Promise<void>;
}

/** Starts the servers, and connects all ranks. */
export async function startNetworkHosts(
  ranks: readonly number[],
  { addressOf = (server) => server, tls: hasTls, ...options }: NetworkHostsOptions & {
    floats: number;
  },
): Promise<NetworkHosts> {
  await using stack = new AsyncDisposableStack();
  const executable = await natsServerProgram();
  const tls = hasTls ? await makeCertificate() : undefined;
  const start = (own: Partial<BrokerOptions> = {}) =>
    startBroker({ executable, ...given("tls", tls), plainOnLoopback: true, ...own });
  const brokers = await Promise.all(ranks.map(() => start()));
  stack.defer(async () => void await Promise.all(brokers.map((broker) => broker.stop())));
  const run = makeRunIdentity("hosts");
  const servers = brokers.map(({ url, credentials, own }, host) => ({
    name: `Host ${host} (name-${host})`,
    address: addressOf(
      { url, credentials, own, ...given("fingerprint", tls && fingerprint(tls.certificate)) },
      host,
    ),
  }));
  /** A host speaks to its own server without TLS. */
  const seenBy = (host: number) =>
    servers.map(({ name, address: { fingerprint, ...address } }, at) => ({
      name,
      address: at === host
        ? { ...address, url: address.url.replace("tls:", "nats:"), plain: true }
        : { ...address, ...given("fingerprint", fingerprint) },
    }));
  const open = (host: number, rank: number) =>
    openHostLink({
      ...{ gradientFloats: options.floats, dtype: "float32", generation: 0 },
      ...options,
      ...{ run, ranks, host, rank, servers: seenBy(host) },
    });
  const links = await Promise.all(
    ranks.map((count, host) =>
      Promise.all(Array.from({ length: count }, async (_, rank) => {
        const link = await open(host, rank);
        stack.defer(() => link.close());
        return link;
      }))
    ),
  );
  const all = stack.move();
  return {
    brokers,
    links,
    restart: async (host) => {
      const { url, users } = itemAt(brokers, host);
      await itemAt(brokers, host).stop();
      brokers[host] = await start({ port: Number(new URL(url).port), users });
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
