/**
 * Small images: the worst mistakes, samples of the validation set, a training batch.
 *
 * @module
 */
import { foreignName, type Html, html } from "../web/html.ts";
import { mixedLines } from "../plots/mixed_classes.ts";
import { formatPercent, groupedCount, groupThousands } from "../base/format.ts";
import type { PredictedPicture, ReportPictures } from "./report_pictures.ts";
import type { RunFiles } from "./run_files.ts";
import type { Section } from "./section.ts";

/** Images shown smaller than this are enlarged pixel by pixel. */
const PIXELATED_BELOW = 96;

/** The images; of an older run those that it drew itself. */
export function picturesSection(files: RunFiles): Section | undefined {
  const { pictures, predictions, grids } = files;
  if (!pictures) return grids.batch || grids.predictions ? gridsSection(files) : undefined;
  const wrong = predictions?.filter((each) => each.trueClass !== each.predictedClass).length;
  const { mistakes, samples, batch } = pictures;
  return {
    id: "pictures",
    title: "Images",
    note:
      html`As the network gets them, with the weights of epoch ${pictures.epoch}; <code>predictions.csv</code>
      has all validation images.`,
    body: html`${
      mistakes.length > 0
        ? html`
          <h3>Worst mistakes</h3>
          <p class="note">The surest first${wrong !== undefined &&
            html`: ${groupThousands(mistakes.length)} of ${groupedCount(wrong, "mistake")}`}.</p>
          <ul class="gallery">${mistakes.map(predicted)}</ul>
        `
        : samples.length > 0 &&
          html`
            <h3>Worst mistakes</h3>
            <p class="note">None: every image was recognized.</p>
          `
    }${
      samples.length > 0 && html`
        <h3>Samples</h3>
        <p class="note">Evenly spread over the validation set.</p>
        <ul class="gallery">${samples.map(predicted)}</ul>
      `
    }${
      batch.length > 0 && html`
        <h3>The first training batch</h3>
        <p class="note">${batchNote(pictures)}</p>
        <ul class="gallery">${batch.map(trained)}</ul>
      `
    }`,
  };
}

/** The note on the batch's transforms; older versions didn't mix it. */
function batchNote({ batch, batchAsTrained }: ReportPictures): string {
  const which = `The first ${groupedCount(batch.length, "image")} of epoch 1, step 0`;
  if (!batchAsTrained) return `${which}, augmented, but not mixed.`;
  const mixed = batch.some(({ mixed }) => mixed) ? " and mixed" : "";
  return `${which}, augmented${mixed} as the workers got them; those of rank 0 come first.`;
}

function trained(picture: ReportPictures["batch"][number]): Html {
  const lines = mixedLines(picture.class, picture.mixed);
  return html`
    <li>
      <figure>${image(picture, `Training image of ${lines.join(" and ")}`)}
        <figcaption>${lines.map((line) =>
          html`
            <div>${foreignName(line)}</div>
          `
        )}</figcaption></figure>
    </li>
  `;
}

function predicted(picture: PredictedPicture): Html {
  const { path, trueClass, predictedClass, confidence } = picture;
  const right = trueClass === predictedClass;
  const sure = formatPercent(confidence);
  const text = right
    ? `Image of ${trueClass}, recognized, ${sure} sure`
    : `Image of ${trueClass}, taken for ${predictedClass}, ${sure} sure`;
  return html`
    <li>
      <figure class="${right ? "right" : "wrong"}" title="${path}">${image(picture, text)}
        <figcaption><span class="verdict"><span aria-hidden="true">${right
          ? "✓"
          : "✗"}</span> ${foreignName(
            predictedClass,
          )}</span> <span class="sure">${sure}</span>${!right &&
          html`<span class="truth">is ${foreignName(trueClass)}</span>`}</figcaption></figure>
    </li>
  `;
}

function image(
  { image, width, height }: Pick<PredictedPicture, "image" | "width" | "height">,
  text: string,
): Html {
  const pixelated = Math.max(width, height) < PIXELATED_BELOW;
  return html`
    <img src="${image}" width="${width}" height="${height}" alt="${text}" decoding="async"
      ${pixelated && html`
        class="pixelated"
      `}>
  `;
}

function gridsSection({ grids }: RunFiles): Section {
  return {
    id: "pictures",
    title: "Images",
    body: html`<div class="grid">${
      grids.predictions && html`<figure class="card"><img class="wide" src="${grids.predictions}"
        alt="Six validation images with their predicted and true classes"></figure>`
    }${
      grids.batch && html`<figure class="card"><img class="wide" src="${grids.batch}"
        alt="The first images of a training batch, augmented, with their classes"></figure>`
    }</div>`,
  };
}
