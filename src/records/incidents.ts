/**
 * Losses of workers during a run, each with what came of it, as the run's events tell them.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { isBeginning, isTurn } from "./run_turns.ts";
import { type RecoveryPolicy, type RecoveryRecord, recoverySchema } from "./recovery_record.ts";

/** A worker of an incident; a record of the history has no process. */
export interface IncidentWorker {
  readonly rank: number;
  readonly pid?: number | undefined;
  readonly host?: string | undefined;
  readonly device?: string | undefined;
  /** A sentence without its final period. */
  readonly reason: string;
}

/** Workers that were lost at about the same time. */
export interface Incident {
  /** The time of the first loss; of a record of the history, that of the recovery. ISO 8601. */
  readonly time: string;
  readonly epoch: number;
  /** Steps of the epoch that were done. */
  readonly step: number;
  readonly during?: string | undefined;
  /** None where the exchange between the workers failed, and all workers stayed. */
  readonly workers: readonly IncidentWorker[];
  /** The reason for that, as a sentence. */
  readonly exchangeFailure?: string;
  /** Missing while the run recovers, and where it ended instead. */
  readonly recovery?: IncidentRecovery;
}

/** The end of an incident: the run goes on. */
export interface IncidentRecovery {
  readonly policy: RecoveryPolicy;
  /** The place from which the run goes on. */
  readonly epoch: number;
  readonly step: number;
  /** Workers from then on. */
  readonly workers: number;
  readonly seconds: number;
}

const count = z.int().nonnegative();

const lossSchema = z.object({
  time: z.string(),
  epoch: count,
  step: count,
  during: z.string().optional(),
  workers: z.array(z.object({
    rank: count,
    pid: count.optional(),
    host: z.string().optional(),
    device: z.string().optional(),
    reason: z.string(),
  })),
});

const recoveryEventSchema = recoverySchema.partial({ reasons: true });

/** Collects the incidents of a run from its events, in their order. */
export class Incidents {
  readonly #all: Incident[] = [];
  /** True after a loss, until the run goes on or its session ends. */
  #isOpen = false;
  /** True after a loss of all workers: the session that begins then goes on from a checkpoint. */
  #mayComeBack = false;

  /** All incidents, oldest first. */
  get all(): readonly Incident[] {
    return this.#all;
  }

  /** Takes an event of any type; one that isn't in the form of its type is passed over. */
  take(event: { readonly type: string; readonly time: string }): void {
    if (event.type === "workersLost") this.#lose(lossSchema.safeParse(event).data);
    else if (event.type === "recovery") this.#recover(recoveryEventSchema.safeParse(event).data);
    else if (isTurn(event)) {
      this.#mayComeBack = this.#isOpen && isBeginning(event);
      this.#isOpen = false;
    }
  }

  /** Workers that are lost while the run recovers from another loss belong to that one. */
  #lose(loss: Incident | undefined): void {
    if (!loss) return;
    const open = this.#isOpen ? this.#all.pop() : undefined;
    this.#all.push(open ? { ...open, workers: [...open.workers, ...loss.workers] } : loss);
    [this.#isOpen, this.#mayComeBack] = [true, false];
  }

  #recover(event: z.output<typeof recoveryEventSchema> | undefined): void {
    if (!event) return;
    const isKnown = this.#isOpen || (this.#mayComeBack && event.policy === "checkpoint");
    const record = { ...event, reasons: event.reasons ?? [] };
    const loss = isKnown ? this.#all.pop()! : lossOf(record);
    this.#all.push({ ...loss, recovery: recoveryOf(record) });
    this.#isOpen = this.#mayComeBack = false;
  }
}

/** Returns the incidents of a run by its history, where its events are lost. */
export function incidentsOfRecords(recoveries: readonly RecoveryRecord[]): Incident[] {
  return recoveries.map((record) => ({ ...lossOf(record), recovery: recoveryOf(record) }));
}

function recoveryOf({ policy, epoch, step, workers, seconds }: RecoveryRecord): IncidentRecovery {
  return { policy, epoch, step, workers, seconds };
}

/** The loss that a recovery tells by itself. */
function lossOf(
  { time, epoch, step, ranks, reasons }: RecoveryRecord,
): Incident {
  const reasonAt = (index: number) => reasons[index] ?? "The reason isn't on record";
  return {
    ...{ time, epoch, step },
    workers: ranks.map((rank, index) => ({ rank, reason: reasonAt(index) })),
    ...(ranks.length === 0 && reasons[0] !== undefined ? { exchangeFailure: reasons[0] } : {}),
  };
}

/** The text of a lost worker: its sentence, and the facts that the sentence lacks. */
export function workerTexts(
  { rank, pid, host, device, reason }: IncidentWorker,
): { sentence: string; place: string } {
  const facts = [
    pid === undefined ? "" : `pid ${pid}`,
    host === undefined ? "" : `on ${host}`,
    device ?? "",
  ].filter((fact) => fact !== "" && !reason.includes(fact));
  const isNamed = reason.startsWith(`Rank ${rank} `);
  return { sentence: isNamed ? reason : `Rank ${rank}: ${reason}`, place: facts.join(", ") };
}

/** Returns the number of recoveries among incidents, and their seconds in all. */
export function costOf(incidents: readonly Incident[]): { recoveries: number; seconds: number } {
  const recoveries = incidents.flatMap(({ recovery }) => recovery ?? []);
  return {
    recoveries: recoveries.length,
    seconds: recoveries.reduce((sum, { seconds }) => sum + seconds, 0),
  };
}
