/**
 * The interface between a run and its loggers: TensorBoard, or a logger of your own.
 *
 * @module
 */
import type { EpochRecord, ValidationPoint } from "../records/history.ts";
import type { MetricsPoint } from "../records/metrics_log.ts";
import type { RecoveryRecord } from "../records/recovery_record.ts";

/** The facts that a logger gets when the run begins, or goes on. */
export interface LoggerStart {
  /** The run folder. */
  readonly folder: string;
  /** The resolved config. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Class names in the order of the labels. */
  readonly classes: readonly string[];
  /** Steps that an epoch has. */
  readonly stepsPerEpoch: number;
  /** Steps of the whole run that are done; of a run that goes on, later steps are made again. */
  readonly step: number;
  /** The records of a run that goes on; undefined when it begins. */
  readonly resumed?: {
    /** Epochs. */
    readonly epochs: number;
    /** Points of training, as {@linkcode RunLogger.metrics} was given them. */
    readonly points: number;
    /** True if the state after those steps was validated. */
    readonly validated: boolean;
  };
}

/**
 * Takes a run's numbers. All methods are optional; they are called in order, between steps, so they must be quick.
 * A logger that throws is reported once and left out from then on; the run goes on.
 */
export interface RunLogger {
  /** A point of training: each `train.logEverySteps` steps. */
  metrics?(point: MetricsPoint): void;
  /** A validation: before the first step, within an epoch or after it. */
  validation?(point: ValidationPoint): void;
  /** An epoch is on record. */
  epoch?(record: EpochRecord): void;
  /** Workers were lost, and the run goes on. */
  recovery?(record: RecoveryRecord): void;
  /**
   * A picture of the run was made.
   *
   * @param name Such as `predictions`
   * @param png The file
   * @param step Steps of the whole run
   */
  picture?(name: string, png: Uint8Array<ArrayBuffer>, step: number): void;
  /** The run has ended, however. */
  close?(): void;
}

/** Opens a logger for a run. */
export type OpenLogger = (start: LoggerStart) => RunLogger | Promise<RunLogger>;

/** The description of a logger that a config turns on. It imports what it needs when it opens. */
export interface LoggerDeclaration {
  /** Description of the key of `loggers`, for editors. */
  readonly help: string;
  /** Name in messages. */
  readonly title: string;
  /** True if the logger is on by default. */
  readonly isDefault: boolean;
  readonly open: OpenLogger;
}
