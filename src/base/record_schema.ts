/**
 * Mappings in a config whose keys are free names, such as those of classes.
 *
 * @module
 */
import { z } from "../deps/zod.ts";

/**
 * Returns a schema of a mapping from any names to values of one kind. `z.record` drops the name `__proto__`; this
 * schema keeps it like any other name.
 */
export function recordOf<Value>(value: z.ZodType<Value>) {
  return z.custom<Record<string, Value>>(isMapping)
    .meta({ type: "object", additionalProperties: { type: "number" } })
    .transform((input, context): Record<string, Value> => {
      const entries = Object.entries(input).map(([name, given]) => {
        const result = value.safeParse(given);
        for (const { message, path } of result.error?.issues ?? []) {
          // An issue that aborts parsing would make a union report only its accepted types.
          const issue = { code: "custom" as const, message, path: [name, ...path], input: given };
          context.issues.push({ ...issue, continue: true });
        }
        return [name, result.data];
      });
      return Object.fromEntries(entries);
    });
}

function isMapping(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
