/**
 * The schedule that changes nothing.
 *
 * @module
 */
import { declareSchedule } from "../schedule_declaration.ts";

/** The same rate in the whole run. */
export const constant = declareSchedule({
  keys: {},
  cure: "give a smaller train.lr",
  rateAt: (_, rate) => rate,
});
