/**
 * The cluster's part of a config: the cluster depends neither on configs nor on the purpose of its workers.
 *
 * @module
 */
import type { ClusterOptions } from "../../cluster/cluster.ts";
import type { ExchangeOptions } from "../../cluster/exchange_host.ts";
import type { ServerOptions } from "../../cluster/run_server.ts";
import type { Config } from "../../config/schema.ts";
import { workerThreads } from "../../engine/threads.ts";

/** The devices that workers compute on, and the library that computes. */
export type RunDevices = Pick<ClusterOptions, "devices" | "libraryPath">;

/** Returns the settings of a config's cluster. */
export function clusterSettings(
  { name, workers, liveness, engine }: Pick<Config, "name" | "workers" | "liveness" | "engine">,
  server: ServerOptions,
  { devices, libraryPath }: RunDevices,
): Pick<
  ClusterOptions,
  "name" | "workers" | "threads" | "liveness" | "server" | "devices" | "libraryPath"
> {
  const threads = workerThreads(engine.threadsPerWorker, workers);
  return { name, workers, threads, liveness, server, devices, libraryPath };
}

/**
 * Returns the server of a config's cluster.
 *
 * @param program The nats-server program; not needed with `nats.url`
 */
export function serverSettings(
  { url, ca, port }: Config["nats"],
  program: string | undefined,
): ServerOptions {
  return { url, ca, port, program };
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
