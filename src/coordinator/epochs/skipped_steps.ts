/**
 * Reports steps that a run skips, because loss or gradients are not finite.
 *
 * @module
 */
import type { StepKey } from "../../base/step_key.ts";
import { given } from "../../base/given.ts";
import type { RunEvents } from "../../events/run_events.ts";
import { type NonFiniteStep, skippedStepWarning, type StepFacts } from "./non_finite_step.ts";

/** Steps that warnings name; the events have all of them. */
const MAX_NAMED = 20;

/** Reports each skipped step: the first ones by a warning, all by an event. */
export class SkippedSteps {
  readonly #facts: StepFacts;
  readonly #events: Pick<RunEvents, "emit">;
  #count = 0;

  constructor(facts: StepFacts, events: Pick<RunEvents, "emit">) {
    this.#facts = facts;
    this.#events = events;
  }

  /** True until the first step is reported: its origin is looked for. */
  get isFirst(): boolean {
    return this.#count === 0;
  }

  /** Reports a step. */
  report(key: StepKey, step: NonFiniteStep): void {
    this.#count++;
    this.#events.emit({
      type: "stepSkipped",
      ...{ epoch: key.epoch, step: key.step },
      ...given("rank", step.worstRank),
      inARow: step.skipped?.inARow ?? 1,
    });
    if (this.#count > MAX_NAMED + 1) return;
    const message = this.#count <= MAX_NAMED
      ? skippedStepWarning(this.#facts, key, step)
      : "More steps are skipped: events.jsonl names all of them";
    this.#events.emit({ type: "warning", message, kept: false });
  }
}
