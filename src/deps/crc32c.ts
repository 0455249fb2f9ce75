/**
 * CRC-32C, of TensorBoard's event files.
 *
 * @module
 */
export { crc32c } from "npm:@aws-crypto/crc32c@5.2.0";
