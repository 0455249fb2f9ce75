/**
 * The core of the NATS client, without a transport.
 *
 * @module
 */
export * from "npm:@nats-io/nats-core@3.4.0/internal";
