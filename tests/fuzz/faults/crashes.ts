/** Native code that reads where nothing is. */
import fc from "fast-check";
import { defineFuzzer } from "../fuzzer.ts";

export const FUZZER = defineFuzzer({
  seed: 1,
  input: fc.nat(100),
  check(number) {
    if (number === 50) new Deno.UnsafePointerView(Deno.UnsafePointer.create(8n)!).getUint8();
  },
});
