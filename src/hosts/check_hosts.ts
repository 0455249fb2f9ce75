/**
 * Checks of the section `hosts` that need more than one key.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { giving } from "../base/invocation.ts";
import type { HostsConfig } from "./config.ts";
import { checkLayout } from "./layout.ts";
import { isLoopback, parseListen, requireProtection } from "./listening.ts";

/** The parts of a config that the hosts depend on. */
export interface HostsChecked {
  readonly hosts: HostsConfig;
  readonly workers?: number | undefined;
  readonly nats: { readonly url?: string | undefined; readonly port?: number | undefined };
}

/**
 * Refuses keys that contradict each other.
 *
 * @throws {UsageError} With the remedy
 */
export function checkHosts(config: HostsChecked): void {
  const { hosts: { count, listen } } = config;
  checkLayout(config.hosts, config.workers);
  if (count === 1) return refuseUnused(config.hosts);
  if (listen === undefined) {
    throw new UsageError(
      `hosts.count is ${count}, and nothing says where the other ${
        count === 2 ? "host finds" : `${count - 1} hosts find`
      } this one: give ${giving("hosts.listen", "0.0.0.0:4222") ?? "hosts.listen"}`,
    );
  }
  checkServer(config);
  const { host } = parseListen(listen);
  requireProtection({ host, hasTls: config.hosts.tls, hasUsers: true });
  checkCertificate(config.hosts);
  if (config.hosts.address !== undefined && isLoopback(host) && !isLoopback(config.hosts.address)) {
    throw new UsageError(
      `hosts.listen is ${listen}, which only this machine reaches, and hosts.address is ${config.hosts.address}: listen at ` +
        "0.0.0.0, or leave out hosts.address",
    );
  }
}

/** Keys without effect on a run of one host, which would only look like one that other hosts may join. */
function refuseUnused({ listen }: HostsConfig): void {
  if (listen !== undefined) {
    throw new UsageError(
      `hosts.listen is ${listen}, and hosts.count is 1, so no other host would join: give ${
        giving("hosts.count", "2") ?? "hosts.count"
      }, or leave out hosts.listen`,
    );
  }
}

function checkServer({ nats, hosts }: HostsChecked): void {
  if (nats.url !== undefined) {
    throw new UsageError(
      `hosts.count is ${hosts.count}, and nats.url names a server of others: the hosts of a run meet on the server that ` +
        "Lockstep starts, so leave out nats.url",
    );
  }
  if (nats.port !== undefined) {
    throw new UsageError(
      `nats.port is ${nats.port}, and hosts.listen is ${hosts.listen}, which has the port of the same server: leave ` +
        "out nats.port",
    );
  }
}

function checkCertificate({ certificate, key, ca, tls }: HostsConfig): void {
  const named = Object.entries({ certificate, key, ca }).find(([, path]) => path !== undefined)
    ?.[0];
  if (named === undefined) return;
  if (!tls) {
    throw new UsageError(`hosts.tls is false, and hosts.${named} is set: leave one of them out`);
  }
  if (certificate === undefined) {
    throw new UsageError(
      `hosts.${named} is set, and hosts.certificate is not: name the certificate too`,
    );
  }
  if (key === undefined) {
    throw new UsageError(
      "hosts.certificate is set, and hosts.key is not: name the certificate's key too",
    );
  }
}
