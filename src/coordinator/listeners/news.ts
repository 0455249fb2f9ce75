/**
 * Events of a run as lines of text, for the terminal and for `run.log`.
 *
 * @module
 */
import type { RunEvent } from "../../events/run_events.ts";
import { lossLine, recoveryLine } from "../../terminal/incident_lines.ts";
import { featuresLine, validationLine } from "../../terminal/lines.ts";

/** Returns the line of text for an event; `undefined` for events with a form of their own, or without one. */
export function newsOf(event: RunEvent): string | undefined {
  switch (event.type) {
    case "info":
      return event.line;
    case "validation":
      return event.within && validationLine({ ...event.point, ...event.within });
    case "features":
      return featuresLine(event.kept, event.workers, event.limit);
    case "workersLost":
      return lossLine(event.workers);
    case "recovery":
      return recoveryLine(event);
    case "stopped":
      return `Stopped in epoch ${event.epoch}: ${event.reason}`;
    default:
      return undefined;
  }
}
