/**
 * weighted_sum.wat as WebAssembly, in Base64: made by `deno task make:wasm`.
 *
 * @module
 */

/** See weighted_sum.wat for what it exports. */
export const WEIGHTED_SUM_CODE =
  "AGFzbQEAAAABDAJgA39/fQBgAX8BfwMEAwAAAQUDAQACByEEBm1lbW9yeQIABXNjYWxlAAADYWRkAAEGYW55QmFkAA" +
  "IKnAEDKgEBfwNAIAMgAv0TIAAgA2r9AAQA/eYB/QsEgAggA0EQaiIDIAFJDQALCzQBAX8DQCADIAP9AASACCAC/RMg" +
  "ACADav0ABAD95gH95AH9CwSACCADQRBqIgMgAUkNAAsLOgIBfwF7A0AgAiAB/QAEgAhBgICA/Af9Ef1OQYCAgPwH/R" +
  "H9N/1QIQIgAUEQaiIBIABJDQALIAL9Uws=";
