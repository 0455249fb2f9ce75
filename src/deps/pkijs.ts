/**
 * X.509 certificates: PKI.js, with the ASN.1 types that it is built on.
 *
 * @module
 */
export * as asn1js from "npm:asn1js@4.0.0";
export * as pkijs from "npm:pkijs@4.0.0";
