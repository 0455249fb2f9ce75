/** A reader that passes a slip of its own on as the reason. */
import fc from "fast-check";
import { UsageError } from "../../../src/base/errors.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { checkRefusal } from "../refusals.ts";

export const FUZZER = defineFuzzer({
  seed: 1,
  input: fc.array(fc.nat(9)),
  check(list) {
    try {
      if (list.includes(3)) (undefined as unknown as string[]).at(0);
    } catch (error) {
      const { message } = error as Error;
      const refused = new UsageError(`The list can't be used: ${message}`, { cause: error });
      checkRefusal(refused, { naming: "list" });
    }
  },
});
