/**
 * Opens a run's folder: its state and its listeners.
 *
 * @module
 */
import { pointOf, stepsBefore } from "../base/step_key.ts";
import type { Config } from "../config/schema.ts";
import { BestEffort } from "../events/best_effort.ts";
import type { Reporter } from "../events/reporter.ts";
import { ReporterListener } from "../events/reporters.ts";
import { RunEvents } from "../events/run_events.ts";
import { type LoggerName, LOGGERS } from "../loggers/config.ts";
import type { LoggerStart, OpenLogger } from "../loggers/logger.ts";
import { openMetricsLogger } from "../loggers/metrics_logger.ts";
import { EventLog, EVENTS_FILE } from "../records/event_log.ts";
import type { History } from "../records/history.ts";
import { HistoryWriter } from "../records/history_writer.ts";
import { RUN_LOG_FILE, RunLog } from "../records/run_log.ts";
import { listenWithLoggers, type NamedLogger } from "./listeners/logger_listener.ts";
import { newsOf } from "./listeners/news.ts";
import type { PreparedRun } from "./preparation/prepare.ts";
import { EventLogListener, RunLogListener } from "./listeners/record_listeners.ts";
import { ReportWriter } from "./listeners/report_writer.ts";
import type { RunParts } from "./run_context.ts";
import { openDashboard } from "./run_dashboard.ts";
import type { RestoredRun } from "./state/run_origin.ts";
import { type Position, startPosition } from "./state/run_state.ts";
import { RunWatch } from "./listeners/run_watch.ts";
import { SavedState } from "./state/saved_state.ts";

/**
 * The event stream of a run without a folder: listeners get events at once; `run.log` gets them when the folder
 * exists.
 */
export class RunStream {
  readonly events: RunEvents = new RunEvents();
  readonly log: RunLog = new RunLog();

  constructor(reporter: Reporter) {
    this.events.add(new ReporterListener(reporter, newsOf));
    this.events.add(new RunLogListener(this.log));
  }
}

/** A run with its folder open. */
export interface OpenRun extends RunParts, AsyncDisposable {
  /** Position of the run; it advances during the run. */
  readonly position: Position;
  readonly reports: Pick<ReportWriter, "path">;
  /** URL of the run's dashboard, where it serves one. */
  readonly dashboard: string | undefined;
}

/**
 * Opens the records of a run and starts its loggers, report and dashboard.
 *
 * @throws {UsageError} when the dashboard's port is taken
 */
export async function openRun(
  stream: RunStream,
  run: PreparedRun,
  folder: string,
  { restored, loggers }: { restored: RestoredRun | undefined; loggers: readonly OpenLogger[] },
): Promise<OpenRun> {
  const { config, plan: { stepsPerEpoch } } = run;
  const { events, log } = stream;
  await using stack = new AsyncDisposableStack();
  const history = restored?.resumed.history ?? emptyHistory(config);
  const position = restored?.resumed.position ?? startPosition();
  const dashboard = stack.use(await openDashboard(config, folder, events));
  const effort = new BestEffort((message) =>
    events.emit({ type: "warning", message, kept: false })
  );
  const eventLog = stack.use(
    new EventLog(folder, (append) => effort.attemptNow(EVENTS_FILE, append)),
  );
  const record = stack.use(
    new HistoryWriter(folder, (what, action) => effort.attempt(what, action)),
  );
  effort.attemptNow(RUN_LOG_FILE, () => log.open(folder));
  stack.use(log);
  const watch = stack.use(new RunWatch(config.workers, events));
  watch.open(folder, { epochs: config.train.epochs, stepsPerEpoch });
  events.add(watch);
  events.add(new EventLogListener(eventLog));
  const start = loggerStart(folder, run, position, restored && history);
  stack.use(await listenWithLoggers(events, loggersOf(config, loggers, events), start));
  const reports = new ReportWriter({ run, folder, history, effort, events });
  events.add(reports);
  const open = stack.move();
  return {
    run,
    folder,
    history,
    record,
    saved: new SavedState(folder, events),
    events,
    watch,
    effort,
    position,
    reports,
    dashboard: dashboard?.url,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

function emptyHistory(config: Config): History {
  return {
    config,
    epochs: [],
    losses: [],
    validations: [],
    best: { epoch: 0, accuracy: NaN },
    workers: config.workers,
  };
}

/** The loggers of the config, followed by those of the caller. */
function loggersOf(
  { loggers }: Config,
  more: readonly OpenLogger[],
  events: RunEvents,
): NamedLogger[] {
  const chosen = (Object.keys(LOGGERS) as LoggerName[]).filter((name) => loggers[name]);
  const warn = (message: string) => events.emit({ type: "warning", message, kept: false });
  return [
    { name: "metrics", open: (start) => openMetricsLogger(start, warn) },
    ...chosen.map((name) => ({ name: LOGGERS[name].title, open: LOGGERS[name].open })),
    ...more.map((open, index) => ({ name: open.name || `${index + 1}th`, open })),
  ];
}

/** Returns the information that loggers get at the start. */
function loggerStart(
  folder: string,
  run: PreparedRun,
  position: Position,
  history: History | undefined,
): LoggerStart {
  const { config, dataset: { classes }, plan: { stepsPerEpoch } } = run;
  const step = stepsBefore(position, stepsPerEpoch);
  const begin = { folder, config, classes, stepsPerEpoch, step };
  if (!history) return begin;
  const { epochs, losses, validations } = history;
  const validated = validations.some((point) =>
    stepsBefore(pointOf(point), stepsPerEpoch) === step
  );
  return { ...begin, resumed: { epochs: epochs.length, points: losses.length, validated } };
}
