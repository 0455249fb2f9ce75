import type { z } from "zod";
import type { ConfigInput } from "../../src/config/input.ts";
import type { configSchema } from "../../src/config/schema.ts";

/**
 * Holds the types that `deno task make:config` makes to the schema's own: a key that one of them lacks, or has with
 * another type, is an error of the type check here, naming the section.
 */
type Schema = z.input<typeof configSchema>;

/** Keys, also of alternatives. */
type Keys<T> = T extends unknown ? keyof T : never;

/** `true`, or what is wrong. */
type Same<A, B> = Exclude<Keys<A>, Keys<B>> extends never
  ? Exclude<Keys<B>, Keys<A>> extends never
    ? [A] extends [B] ? [B] extends [A] ? true : "the schema accepts more"
    : "the schema accepts less"
  : { "missing in src/config/input.ts": Exclude<Keys<B>, Keys<A>> }
  : { "unknown to the schema": Exclude<Keys<A>, Keys<B>> };

type Sections = Required<{ [Key in keyof ConfigInput]: NonNullable<ConfigInput[Key]> }>;
type SchemaSections = Required<{ [Key in keyof Schema]: NonNullable<Schema[Key]> }>;

Deno.test("ConfigInput has the keys and types of the schema", () => {
  const all: Same<ConfigInput, Schema> = true;
  const sections: { [Key in keyof Sections]: Same<Sections[Key], SchemaSections[Key]> } = {
    name: true,
    seed: true,
    device: true,
    devices: true,
    workers: true,
    out: true,
    model: true,
    data: true,
    train: true,
    validate: true,
    checkpoint: true,
    engine: true,
    exchange: true,
    nccl: true,
    nats: true,
    hosts: true,
    liveness: true,
    onWorkerLost: true,
    maxRestarts: true,
    dashboard: true,
    loggers: true,
  };
  type Nested<Key extends "earlyStopping" | "ema" | "schedule" | "groups"> = Same<
    NonNullable<Sections["train"][Key]>,
    NonNullable<SchemaSections["train"][Key]>
  >;
  const nested: { [Key in "earlyStopping" | "ema" | "schedule" | "groups"]: Nested<Key> } = {
    earlyStopping: true,
    ema: true,
    schedule: true,
    groups: true,
  };
  void [all, sections, nested]; // checked by the compiler
});
