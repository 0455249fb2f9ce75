/**
 * Messages on a run's subjects that its processes refused: counted, reported once per reason, and summarized at
 * the end.
 *
 * @module
 */
import type { Link, RefusedCounts } from "../protocol/link.ts";

/** Counts of the coordinator by reason, and of all workers together. */
export interface RefusedMessages extends RefusedCounts {
  /** Messages that the workers refused, for any reason. */
  readonly workers: number;
}

/** Description of each kind of refused message. */
const REASONS: Readonly<Record<keyof RefusedCounts, string>> = {
  unsigned: "that aren't signed with the run's key",
  replayed: "that came before",
  version: "of another version of Lockstep",
  malformed: "that are none of Lockstep's",
  corrupt: "that arrived damaged",
};

/** Warns of the first message of each reason, and only counts the others. */
export function tellOfRefusals(link: Link, warn: (message: string) => void): void {
  const reported = new Set<string>();
  link.onRefused((reason) => {
    if (reported.has(reason)) return;
    reported.add(reason);
    warn(
      `Messages ${
        REASONS[reason]
      } come in on the run's subjects (${link.subjects.all}) at the nats-server ` +
        `${link.server}: they are refused, and only counted from now on`,
    );
  });
}

/** Summarizes the refused messages; returns `undefined` when there were none. */
export function describeRefusals(refused: RefusedMessages): string | undefined {
  const { workers, ...own } = refused;
  const parts = Object.entries(own).filter(([, count]) => count > 0).map(([reason, count]) =>
    `${count} ${REASONS[reason as keyof RefusedCounts]}`
  );
  if (workers > 0) parts.push(`${workers} by the workers`);
  if (parts.length === 0) return undefined;
  return `Refused messages of others on the run's subjects: ${parts.join(", ")}`;
}
