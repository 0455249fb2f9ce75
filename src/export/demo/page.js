/**
 * The demo's page: loads the model, takes a photo, shows the classes.
 *
 * Everything comes by <script>, also the weights (in Base64): so the page works when it is opened by a double-click,
 * where browsers let it fetch nothing. Names of classes and files come from a data set: they only ever become text.
 */
"use strict";

/* global tf, lockstepModel, lockstepPreprocessor */

const SHOWN = 8;

/** Weights as they arrive: the scripts put them here. */
globalThis.lockstepShards = [];

const element = (id) => document.getElementById(id);
const { facts, shards } = lockstepModel;
const { name, classes, preprocessing } = facts;
const preprocess = lockstepPreprocessor.makePreprocessor(preprocessing.transforms);
let model;
let shownPhoto;
let latest = 0;

function describe() {
  const { architecture, checkpoint, lockstep } = facts;
  const accuracy = checkpoint.accuracy;
  element("title").textContent = name;
  document.title = name;
  element("about").textContent = `Tells ${classes.length} classes apart: ${listed(classes)}.`;
  element("facts").textContent = [
    architecture.name,
    `epoch ${checkpoint.epoch}`,
    ...(accuracy === undefined ? [] : [`validation accuracy ${percent(accuracy)}`]),
    `exported by Lockstep ${lockstep}`,
  ].join(" · ");
}

function listed(names) {
  const some = names.slice(0, 12);
  const more = names.length - some.length;
  return some.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** Runs a script that lies beside the page. */
function loadScript(path) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = path;
    script.onload = () => resolve(script.remove());
    script.onerror = () => reject(new Error(`${path} is missing: copy the whole folder`));
    document.head.append(script);
  });
}

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

async function loadModel() {
  const weightData = new Uint8Array(lockstepModel.weightBytes);
  let end = 0;
  for (const [index, path] of shards.entries()) {
    await loadScript(path);
    const bytes = bytesOf(globalThis.lockstepShards[index]);
    delete globalThis.lockstepShards[index];
    weightData.set(bytes, end);
    end += bytes.length;
    element("progress").value = (index + 1) / (shards.length + 1);
  }
  // The fastest that this device has; a graphics card that can't be used is no reason to give up.
  if (!await tf.setBackend("webgl").catch(() => false)) await tf.setBackend("cpu");
  await tf.ready();
  const { description, weightSpecs } = lockstepModel;
  const handler = tf.io.fromMemory({ ...description, weightSpecs, weightData: weightData.buffer });
  model = await tf.loadGraphModel(handler);
  // A graphics card's programs are made at the first run: not when somebody waits for an answer.
  const { height, width } = preprocessing;
  const blank = tf.zeros([1, height, width, 3]);
  const output = model.execute(blank, "probabilities");
  await output.data();
  tf.dispose([blank, output]);
}

/** A photo's pixels, upright, without a conversion of its colours: as in training. */
async function decode(blob) {
  const bitmap = await createImageBitmap(blob, {
    imageOrientation: "from-image",
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  });
  const { width, height } = bitmap;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    data[to] = rgba[from];
    data[to + 1] = rgba[from + 1];
    data[to + 2] = rgba[from + 2];
  }
  return { width, height, data };
}

/** The probability of each class, in the order of the classes, and what the model saw. */
async function classify(blob) {
  const { pixels, seen } = preprocess(await decode(blob));
  const start = performance.now();
  const images = tf.tensor4d(pixels, [1, seen.height, seen.width, 3]);
  const output = model.execute(images, "probabilities");
  const probabilities = Array.from(await output.data());
  tf.dispose([images, output]);
  return { probabilities, seen, milliseconds: performance.now() - start };
}

function showSeen({ width, height, data }) {
  const canvas = element("seen");
  canvas.width = width;
  canvas.height = height;
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) {
    rgba.set(data.subarray(from, from + 3), to);
  }
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  element("seen-size").textContent = `What the model sees: ${width} × ${height} pixels`;
}

function classRow({ label, probability }) {
  const part = (className, ...content) => {
    const node = document.createElement(className === "row" ? "li" : "div");
    node.className = className;
    node.append(...content);
    return node;
  };
  const bar = part("bar");
  bar.style.width = `${100 * probability}%`;
  return part("row", part("class", label), part("share", percent(probability)), part("track", bar));
}

function showClasses(probabilities) {
  const ranked = probabilities.map((probability, index) => ({ label: classes[index], probability }))
    .sort((a, b) => b.probability - a.probability);
  const [first] = ranked;
  element("answer").textContent = `${first.label}, ${percent(first.probability)}`;
  const list = element("classes");
  list.replaceChildren(...ranked.slice(0, SHOWN).map(classRow));
  const more = element("more");
  more.hidden = ranked.length <= SHOWN;
  more.textContent = `Show all ${ranked.length} classes`;
  more.onclick = () => {
    list.replaceChildren(...ranked.map(classRow));
    more.hidden = true;
  };
}

function showPhoto(blob) {
  if (shownPhoto) URL.revokeObjectURL(shownPhoto);
  shownPhoto = URL.createObjectURL(blob);
  element("photo").src = shownPhoto;
  element("photo").alt = blob.name ? `Photo ${blob.name}` : "Pasted photo";
  element("name").textContent = blob.name ?? "Pasted photo";
}

function showError(error) {
  element("error").textContent = error instanceof Error ? error.message : String(error);
  element("error").hidden = false;
  element("status").textContent = "";
}

/** Shows what the model makes of a photo; a newer photo overtakes an older one. */
async function take(blob) {
  if (!model || !blob) return;
  const own = ++latest;
  element("error").hidden = true;
  element("status").textContent = "Looking at the photo …";
  try {
    // Lets the line above be painted before the work begins.
    await new Promise((resolve) => setTimeout(resolve));
    const { probabilities, seen, milliseconds } = await classify(blob).catch((error) => {
      if (error.name !== "InvalidStateError") throw error;
      throw new Error(`${blob.name ?? "What was pasted"} is not an image that this browser reads`);
    });
    if (own !== latest) return;
    showPhoto(blob);
    showSeen(seen);
    showClasses(probabilities);
    element("result").hidden = false;
    const { label } = probabilities.map((probability, index) => ({
      label: classes[index],
      probability,
    }))
      .reduce((a, b) => b.probability > a.probability ? b : a);
    element("status").textContent = `Done in ${
      milliseconds.toFixed(0)
    } ms on ${tf.getBackend()}: ${label}`;
  } catch (error) {
    if (own === latest) showError(error);
  }
}

function listen() {
  const drop = element("drop");
  const file = element("file");
  file.disabled = false;
  file.addEventListener("change", () => {
    take(file.files[0]);
    file.value = ""; // so that the same file can be chosen again
  });
  // Anywhere on the page: a photo that misses the field must not replace the page.
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", () => drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => take(event.clipboardData.files[0]));
}

async function main() {
  describe();
  element("status").textContent = "Loading the model …";
  try {
    await loadModel();
    element("progress").hidden = true;
    element("status").textContent = "Ready";
    listen();
  } catch (error) {
    showError(error);
  }
}

/** The page's promise and functions, for tests and for the curious at the browser's console. */
globalThis.lockstepDemo = { ready: main(), classify, take };
