/**
 * The cluster's part of a config: a cluster knows neither configs nor what its workers are for.
 *
 * @module
 */
import type { ClusterOptions } from "../../cluster/cluster.ts";
import type { ExchangeOptions } from "../../cluster/exchange_host.ts";
import type { Config } from "../../config/schema.ts";
import { workerThreads } from "../../engine/threads.ts";

/** The config keys that a cluster's settings are derived from. */
type ClusterConfig = Pick<Config, "name" | "workers" | "liveness" | "engine"> & {
  readonly nats: Pick<Config["nats"], "url" | "ca" | "port">;
};

/**
 * Returns the settings of a config's cluster.
 *
 * @param program The nats-server program; not needed with `nats.url`
 */
export function clusterSettings(
  config: ClusterConfig,
  program: string | undefined,
): Pick<ClusterOptions, "name" | "workers" | "threads" | "liveness" | "server"> {
  const { name, workers, liveness, nats: { url, ca, port } } = config;
  return {
    name,
    workers,
    threads: workerThreads(config.engine.threadsPerWorker, workers),
    liveness,
    server: { url, ca, port, program },
  };
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
