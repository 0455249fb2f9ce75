/**
 * The config keys of the loggers.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import * as declarations from "./kinds.ts";
import type { LoggerDeclaration } from "./logger.ts";

/** Name of a logger, as a config turns it on or off. */
export type LoggerName = keyof typeof declarations;

/** All loggers by name. */
export const LOGGERS: Readonly<Record<LoggerName, LoggerDeclaration>> = declarations;

/** The `loggers` section of the config: `true` for each logger that is on. */
export const loggersSchema = z.strictObject(
  Object.fromEntries(
    Object.entries(LOGGERS).map(([name, { isDefault, help }]) => [
      name,
      z.boolean().default(isDefault).describe(help),
    ]),
  ) as Record<LoggerName, z.ZodDefault<z.ZodBoolean>>,
);
