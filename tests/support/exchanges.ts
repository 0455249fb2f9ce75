/**
 * The exchanges on which the tests run: those of the product, and one within the process.
 *
 * @module
 */
import { EXCHANGE_NAMES, type ExchangeDefinition, EXCHANGES } from "../../src/exchange/registry.ts";

/** All exchanges by their names. */
export const TESTED_EXCHANGES = {
  ...EXCHANGES,
  loopback: {
    rank: () => import("./loopback_exchange.ts"),
    reducer: () => import("./loopback_reducer.ts"),
  },
} as const satisfies Record<string, ExchangeDefinition>;

/** The exchanges of the product whose vectors are in memory of the host, so that their tests need no GPU. */
export const HOST_EXCHANGES = EXCHANGE_NAMES.filter((name) => name !== "nccl");

/** Name of an exchange. */
export type TestedExchange = keyof typeof TESTED_EXCHANGES;
