/**
 * The cluster's part of a config: the cluster depends neither on configs nor on the purpose of its workers.
 *
 * @module
 */
import type { ClusterOptions } from "../../cluster/assembly.ts";
import type { ExchangeOptions } from "../../cluster/coordinator_exchange.ts";
import type { ServerOptions } from "../../hosts/run_server.ts";
import type { Listening } from "../../hosts/prepare_listening.ts";
import type { Config } from "../../config/schema.ts";
import type { ForeignServer } from "../../protocol/server_address.ts";
import { workerThreads } from "../../engine/threads.ts";

/** The devices that workers of this host compute on, and the library that computes. */
export type RunDevices = Pick<ClusterOptions, "devices" | "libraryPath">;

/**
 * Returns the settings of a config's cluster.
 *
 * @param own Workers of this host; all of them unless given
 */
export function clusterSettings(
  { name, workers, liveness, engine }: Pick<Config, "name" | "workers" | "liveness" | "engine">,
  server: ServerOptions,
  { devices, libraryPath }: RunDevices,
  own = workers,
): Pick<
  ClusterOptions,
  "name" | "workers" | "threads" | "liveness" | "server" | "devices" | "libraryPath"
> {
  const threads = workerThreads(engine.threadsPerWorker, Math.max(own, 1));
  return { name, workers, threads, liveness, server, devices, libraryPath };
}

/**
 * Returns the server of a config's cluster.
 *
 * @param program The nats-server program; not needed with `nats.url`
 */
export function serverSettings(
  nats: Config["nats"],
  program: string | undefined,
  listening?: Listening,
): ServerOptions {
  const { port, reconnectTimeout, maxRestarts } = nats;
  const limits = { reconnectTimeout, maxRestarts };
  if (!listening) return { foreign: foreignServer(nats), port, program, ...limits };
  const { host, tls, users } = listening;
  return { program, host, port: listening.port || undefined, tls, users, ...limits };
}

/** Returns the running server that a config names, if it does. */
export function foreignServer(
  { url, ca, credentials, prefix }: Config["nats"],
): ForeignServer | undefined {
  return url === undefined ? undefined : { url, ca, credentials, prefix };
}

/**
 * Returns the exchange of a config's cluster.
 *
 * @param vectors The lengths of the vectors that the ranks exchange, and how many they have in common
 */
export function exchangeSettings(
  { exchange, nats }: Pick<Config, "exchange" | "nats">,
  { vectorBytes, regions, gradientBytes }: Omit<ExchangeOptions, "kind" | "dtype">,
): ExchangeOptions {
  return { kind: exchange, dtype: nats.gradientDtype, vectorBytes, regions, gradientBytes };
}
