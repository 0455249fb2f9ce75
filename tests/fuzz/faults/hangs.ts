/** A reader that never ends where its input begins with 7. */
import fc from "fast-check";
import { defineFuzzer } from "../fuzzer.ts";

export const FUZZER = defineFuzzer({
  seed: 1,
  input: fc.uint8Array({ minLength: 1 }),
  check([first]) {
    while (first === 7);
  },
});
