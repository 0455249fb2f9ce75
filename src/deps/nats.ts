/**
 * The client of NATS for Node, the maintained successor of the package `nats`; the source takes only its types.
 *
 * @module
 */
export * from "npm:@nats-io/transport-node@3.4.0";
