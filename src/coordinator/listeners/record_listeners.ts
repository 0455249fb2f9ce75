/**
 * Listeners that write the records of a run: `run.log` and `events.jsonl`.
 *
 * @module
 */
import type { RecoveredEvent, RunEvent, RunListener } from "../../events/run_events.ts";
import type { EventLog } from "../../records/event_log.ts";
import type { Level, RunLog } from "../../records/run_log.ts";
import { epochLine } from "../../terminal/lines.ts";
import { newsOf } from "./news.ts";

/** Writes the lines that users see, and those of the workers, to `run.log`. */
export class RunLogListener implements RunListener {
  readonly name = RUN_LOG;
  readonly #log: Pick<RunLog, "append">;

  constructor(log: Pick<RunLog, "append">) {
    this.#log = log;
  }

  hear(event: RunEvent): void {
    const line = this.#lineOf(event);
    if (line) this.#log.append(...line);
  }

  #lineOf(event: RunEvent): [Level, string] | undefined {
    switch (event.type) {
      case "warning":
        return ["warning", event.message];
      case "workerLine":
        return ["info", `[rank ${event.rank}] ${event.line}`];
      case "epoch":
        return ["info", epochLine(event.record, event.epochs, event.best)];
      case "interrupted":
      case "failed":
        return ["error", event.message];
    }
    const news = newsOf(event);
    if (news === undefined) return undefined;
    return [event.type === "workersLost" ? "warning" : "info", news];
  }
}

const RUN_LOG = "run.log";

/** Writes the events from which a run's history is read to `events.jsonl`. */
export class EventLogListener implements RunListener {
  readonly name = "events.jsonl";
  readonly #log: Pick<EventLog, "append">;

  constructor(log: Pick<EventLog, "append">) {
    this.#log = log;
  }

  hear(event: RunEvent): void {
    switch (event.type) {
      case "warning":
        if (event.kept) this.#log.append("warning", { message: event.message });
        return;
      case "validation":
        if (event.within) this.#log.append("validation", { ...event.point });
        return;
      case "features":
        return this.#log.append("features", { epoch: event.epoch, ...event.kept });
      case "epoch":
      case "stopped":
        return this.#appendRecovered(event);
      case "recovered":
        return this.#appendRecovered(event.event);
      case "report":
        if (event.finished) this.#log.append("report");
        return;
      case "started":
      case "resumed":
      case "joined":
      case "devices":
      case "workersLost":
      case "recovery":
      case "skipped":
      case "statisticsLeftOut":
      case "stepSkipped":
      case "finished":
      case "interrupted":
      case "failed": {
        const { type, ...fields } = event;
        return this.#log.append(type, fields);
      }
    }
  }

  #appendRecovered(event: RecoveredEvent): void {
    if (event.type === "epoch") return this.#log.append("epoch", { ...event.record });
    const { epoch, step, reason } = event;
    this.#log.append("stopped", { epoch, step, reason });
  }
}
