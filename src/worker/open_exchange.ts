/**
 * Which exchange a worker uses.
 *
 * @module
 */
import type { GradientExchange } from "../exchange/gradient_exchange.ts";
import { NatsGradientExchange } from "../exchange/nats_exchange.ts";
import type { Link } from "../protocol/link.ts";
import type { Place } from "../train/train_epoch.ts";

/** An exchange and what it is called in reports. */
export interface OpenExchange {
  readonly name: string;
  readonly exchange: GradientExchange;
}

/**
 * Opens this rank's end of the all-reduce.
 *
 * @param vectorBytes Length of every step's vector
 */
export async function openExchange(
  link: Link,
  place: Place,
  vectorBytes: number,
): Promise<OpenExchange> {
  const exchange = await NatsGradientExchange.open(link, { ...place, vectorBytes });
  return { name: "nats", exchange };
}
