/**
 * Events of a run as lines of news, for people and for `run.log`.
 *
 * @module
 */
import type { RunEvent } from "../../events/run_events.ts";
import { featuresLine, validationLine } from "../../terminal/lines.ts";

/** Returns the line of news that an event is; nothing for events that have a form of their own, or none. */
export function newsOf(event: RunEvent): string | undefined {
  switch (event.type) {
    case "info":
      return event.line;
    case "validation":
      return event.within && validationLine({ ...event.point, ...event.within });
    case "features":
      return featuresLine(event.kept, event.workers, event.limit);
    case "stopped":
      return `Stopped in epoch ${event.epoch}: ${event.reason}`;
    default:
      return undefined;
  }
}
