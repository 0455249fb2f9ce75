/**
 * A mark of a run's history in its checkpoints. A resumed run detects with it a history that was cut or belongs
 * to another run.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { UsageError } from "../../base/errors.ts";
import type { RecordedPoint } from "../../base/step_key.ts";
import type { History } from "../../records/history.ts";
import type { HistoryMark } from "../../checkpoint/checkpoint.ts";

/** Number of hexadecimal digits of the SHA-256 that are kept. */
const DIGITS = 16;

/**
 * Returns the mark of a history up to a place; later records don't change the mark.
 *
 * The validation at the place is excluded, since it may come before the checkpoint or after a resume.
 */
export function historyMark(
  { epochs, losses, validations }: Pick<History, "epochs" | "losses" | "validations">,
  { epoch, step }: RecordedPoint,
): HistoryMark {
  const isBefore = (point: RecordedPoint) =>
    point.epoch < epoch || (point.epoch === epoch && point.step < step);
  const isAt = (point: RecordedPoint) => point.epoch === epoch && point.step === step;
  const done = epochs.filter((each) => each.epoch < epoch);
  const points = losses.filter((point) => isBefore(point) || isAt(point));
  const validated = validations.filter(isBefore);
  const last = done.at(-1);
  const values = [
    last && [last.epoch, last.learningRate, ...Object.values(last.train), last.validation.loss],
    ...[points.at(-1), validated.at(-1)].map((point) =>
      point && [point.epoch, point.step, point.examples, point.loss]
    ),
  ];
  return {
    epochs: done.length,
    losses: points.length,
    validations: validated.length,
    digest: createHash("sha256").update(JSON.stringify(values)).digest("hex").slice(0, DIGITS),
  };
}

/**
 * Compares a history with the mark of a checkpoint.
 *
 * @throws {UsageError} when the history lacks records, or belongs to another run
 */
export function checkHistoryMark(history: History, mark: HistoryMark, place: RecordedPoint): void {
  const own = historyMark(history, place);
  const kinds = {
    epochs: "epochs",
    losses: "points of the training loss",
    validations: "validations",
  };
  const counts = (["epochs", "losses", "validations"] as const)
    .filter((kind) => own[kind] !== mark[kind])
    .map((kind) => `${own[kind]} ${kinds[kind]} in the place of ${mark[kind]}`);
  if (counts.length === 0 && own.digest === mark.digest) return;
  const what = counts.length > 0 ? `it has ${counts.join(", ")}` : "its numbers are others";
  throw new UsageError(
    `history.json isn't the one that belongs to the checkpoint in epoch ${place.epoch}, step ${place.step}: ` +
      `up to there ${what}; restore the history.json of this run, or start a new run with the checkpoint's weights ` +
      "(--weights)",
  );
}
