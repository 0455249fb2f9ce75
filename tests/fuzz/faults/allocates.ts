/** A reader that believes a size. */
import fc from "fast-check";
import { defineFuzzer } from "../fuzzer.ts";

export const FUZZER = defineFuzzer({
  seed: 1,
  input: fc.nat(2 ** 26),
  check(size) {
    void new Float32Array(new ArrayBuffer(size & ~3)).length;
  },
});
