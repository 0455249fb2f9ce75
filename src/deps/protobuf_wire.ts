/**
 * Readers and writers of Protocol Buffers.
 *
 * @module
 */
export * from "npm:@bufbuild/protobuf@2.17.0/wire";
