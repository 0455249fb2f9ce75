/**
 * The exchanges on which the tests run: those of the product, and one within the process.
 *
 * @module
 */
import { type ExchangeDefinition, EXCHANGES } from "../../src/exchange/registry.ts";

/** All exchanges by their names. */
export const TESTED_EXCHANGES = {
  ...EXCHANGES,
  loopback: {
    rank: () => import("./loopback_exchange.ts"),
    reducer: () => import("./loopback_reducer.ts"),
  },
} as const satisfies Record<string, ExchangeDefinition>;

/** Name of an exchange. */
export type TestedExchange = keyof typeof TESTED_EXCHANGES;
