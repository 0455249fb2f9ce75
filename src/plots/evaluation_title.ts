/**
 * The title of an evaluation's pictures.
 *
 * @module
 */
import { visible } from "../base/visible_text.ts";
import type { EvaluationRecord } from "../records/evaluation_file.ts";
import { truncateMiddle } from "../base/format.ts";

/** The part of an evaluation that its title tells. */
export interface EvaluatedFacts {
  readonly model: Pick<EvaluationRecord["model"], "name" | "run" | "runName" | "epoch">;
  readonly data: Pick<EvaluationRecord["data"], "split">;
}

/** Longest name in a title, in characters. */
const NAME_LENGTH = 44;

/**
 * The name of the run, and in a line of its own the model, the set of images and the checkpoint's epoch, as far as they
 * are known: `My photos`, `resnet18, validation set, epoch 12`.
 */
export function evaluationTitle(
  { model, data }: EvaluatedFacts,
): { readonly title: string; readonly detail: string } {
  const { name, run, runName, epoch } = model;
  const title = runName ?? run ?? name;
  const parts = [
    ...(title === name ? [] : [truncateMiddle(visible(name), NAME_LENGTH)]),
    data.split === "val" ? "validation set" : "training set",
    ...(epoch === undefined ? [] : [`epoch ${epoch}`]),
  ];
  return { title: truncateMiddle(visible(title), NAME_LENGTH), detail: parts.join(", ") };
}
