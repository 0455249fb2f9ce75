/**
 * The text form of nkeys, which the NATS client's own exports leave out.
 *
 * @module
 */
export { Codec } from "npm:@nats-io/nkeys@2.0.3/lib/codec.js";
