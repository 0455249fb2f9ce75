/**
 * weighted_sum.wat as WebAssembly, in Base64: made by `deno task make:wasm`.
 *
 * @module
 */

/** See weighted_sum.wat for what it exports. */
export const WEIGHTED_SUM_CODE =
  "AGFzbQEAAAABDAJgA39/fQBgAX8BfwMEAwAAAQUDAQACByEEBm1lbW9yeQIABXNjYWxlAAADYWRkAAEGYW55QmFkAA" +
  "IKmAEDKQEBfwNAIAMgAv0TIAAgA2r9AAQA/eYB/QsEACADQRBqIgMgAUkNAAsLMgEBfwNAIAMgA/0ABAAgAv0TIAAg" +
  "A2r9AAQA/eYB/eQB/QsEACADQRBqIgMgAUkNAAsLOQIBfwF7A0AgAiAB/QAEAEGAgID8B/0R/U5BgICA/Af9Ef03/V" +
  "AhAiABQRBqIgEgAEkNAAsgAv1TCw==";
