/**
 * The messages between a comparison and the process of one of its runs: lines of JSON.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { configSchema } from "../config/schema.ts";

/** The first line of a run's standard input. */
export const memberSettingsSchema = z.strictObject({
  config: configSchema,
  /** Folder of the run. */
  folder: z.string(),
  /** Go on with what is in the folder. */
  resume: z.boolean(),
  verbose: z.boolean(),
});

/** The settings of a member's process. */
export type MemberSettings = z.output<typeof memberSettingsSchema>;

/** A later line of the input: end at the next step, with a checkpoint. */
export const STOP = "stop";

/** The outcome of a run. */
export const outcomeSchema = z.strictObject({
  status: z.enum(["finished", "interrupted", "failed"]),
  message: z.string().optional(),
});

/** The outcome of a run. */
export type Outcome = z.output<typeof outcomeSchema>;

/** A line of a run's standard output: what its reporter is told, or how it ended. */
const messageSchema = z.union([
  z.strictObject({ call: z.string(), args: z.array(z.unknown()) }),
  z.strictObject({ end: outcomeSchema }),
]);

/** A message of a run. */
export type MemberMessage = z.output<typeof messageSchema>;

/** JSON has no NaN and no infinity. */
const NUMBER = "$number";

/** Writes a message as a line, without its end. */
export function encodeMessage(message: MemberMessage): string {
  return JSON.stringify(
    message,
    (_, value) =>
      typeof value === "number" && !Number.isFinite(value) ? { [NUMBER]: String(value) } : value,
  );
}

/** Reads a line; nothing when it is none of these messages, such as what a library prints. */
export function decodeMessage(line: string): MemberMessage | undefined {
  try {
    const tree = JSON.parse(
      line,
      (_, value) =>
        value !== null && typeof value?.[NUMBER] === "string" ? Number(value[NUMBER]) : value,
    );
    return messageSchema.safeParse(tree).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
