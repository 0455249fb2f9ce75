/**
 * Messages on a run's subjects that its processes didn't accept: counted, reported once per reason, and summed up at the
 * end.
 *
 * @module
 */
import type { Link, RefusedCounts } from "../protocol/link.ts";

/** Counts of the coordinator by reason, and of all workers together. */
export interface RefusedMessages extends RefusedCounts {
  /** Messages that the workers refused, for whatever reason. */
  readonly workers: number;
}

/** The fault of the messages of each kind. */
const REASONS: Readonly<Record<keyof RefusedCounts, string>> = {
  token: "without the run's token",
  version: "of another version of Lockstep",
  malformed: "that are none of Lockstep's",
  corrupt: "that arrived damaged",
};

/** Warns of the first message of each reason; the others are counted alone. */
export function tellOfRefusals(link: Link, warn: (message: string) => void): void {
  const reported = new Set<string>();
  link.onRefused((reason) => {
    if (reported.has(reason)) return;
    reported.add(reason);
    warn(
      `Messages ${
        REASONS[reason]
      } come in on the run's subjects (lockstep.${link.subjects.runId}.>) at the nats-server ` +
        `${link.server}: they are refused, and only counted from now on`,
    );
  });
}

/** Sums up what was refused; nothing where that is nothing. */
export function describeRefusals(refused: RefusedMessages): string | undefined {
  const { workers, ...own } = refused;
  const parts = Object.entries(own).filter(([, count]) => count > 0).map(([reason, count]) =>
    `${count} ${REASONS[reason as keyof RefusedCounts]}`
  );
  if (workers > 0) parts.push(`${workers} by the workers`);
  if (parts.length === 0) return undefined;
  return `Refused messages of others on the run's subjects: ${parts.join(", ")}`;
}
