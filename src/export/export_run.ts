/**
 * Exports a run's model: reads it, turns it into the formats that are asked for, writes the files.
 *
 * @module
 */
import { join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { interruptedBy } from "../base/interruption.ts";
import { followPointers } from "../base/pointer.ts";
import { openEngineOnCpu } from "../engine/engine.ts";
import { checkGraphModel } from "./check_graph_model.ts";
import { demoFiles, MAX_DEMO_BYTES } from "./demo_files.ts";
import { type ExportFile, writeExport } from "./export_folder.ts";
import { makeGraphModel, weightBytes } from "./graph_model.ts";
import { shardAt, shardCount } from "./shards.ts";
import { type ExportSource, readSource } from "./source.ts";
import { isInTorchvision, lockstepFile, pythonModel, torchvisionFile } from "./weight_files.ts";

/** Formats by name. */
export const FORMATS: readonly ExportFormat[] = ["safetensors", "torchvision", "tfjs"];

/** Name of a format. */
export type ExportFormat = "safetensors" | "torchvision" | "tfjs";

/** Settings of {@linkcode exportRun}. */
export interface ExportOptions {
  /** The run's folder. */
  readonly run: string;
  /** `best` (default), `last`, or the path of a checkpoint's folder. */
  readonly checkpoint?: string;
  /** Files of modules that may be imported, as in `ModelSource`. */
  readonly modules?: readonly string[] | undefined;
  /** Formats to write (default: all). */
  readonly formats?: readonly ExportFormat[];
  /** Folder to write to (default: `export` in the run's folder). */
  readonly out?: string;
  /** Let TensorFlow write its notices. */
  readonly verbose?: boolean;
  /** Ends the export with an `InterruptedError`; each file that was written is whole, and the next export replaces it. */
  readonly signal?: AbortSignal | undefined;
}

/** A report of the written files. */
export interface ExportReport {
  /** Name of the architecture. */
  readonly model: string;
  /** Number of classes. */
  readonly classes: number;
  /** Origin of the weights, such as `epoch 3, validation accuracy 0.947`. */
  readonly origin: string;
  /** Bytes by path, relative to the folder. */
  readonly files: ReadonlyMap<string, number>;
  /** Further facts that a user should know. */
  readonly notes: readonly string[];
}

/**
 * Exports a run's model: as safetensors, as torchvision's state dict, and for TensorFlow.js with a demo page.
 *
 * @example
 * ```ts
 * import { exportRun } from "@lockstep/lockstep";
 *
 * const { files } = await exportRun({
 *   run: "runs/latest",
 *   formats: ["safetensors", "tfjs"],
 *   out: "exported",
 * });
 * for (const [path, bytes] of files) console.log(`exported/${path}: ${bytes} bytes`);
 * ```
 *
 * @throws {UsageError} when the run or the checkpoint can't be used, torchvision's format alone is asked for of a
 *   network that a user's module makes, or the folder can't be written
 * @throws {LockstepError} when the model can't be turned into a format
 * @throws {InterruptedError} when `options.signal` fires
 */
export async function exportRun(options: ExportOptions): Promise<ExportReport> {
  using interruption = interruptedBy(options.signal);
  const { signal } = interruption;
  const { run, checkpoint = "best", modules, formats = FORMATS, verbose = false } = options;
  const out = options.out ?? join(await followPointers(run), "export");
  await openEngineOnCpu({ verbose });
  const source = await readSource(run, checkpoint, modules);
  const notes: string[] = [];
  const files = new Map<ExportFormat, readonly ExportFile[]>();
  for (const format of FORMATS) {
    signal?.throwIfAborted();
    if (formats.includes(format)) files.set(format, await FILES_OF[format](source, notes));
  }
  if ([...files.values()].flat().length === 0) throw new UsageError(notes.join("; "));
  const { epoch, accuracy } = source.facts.checkpoint;
  return {
    model: source.facts.architecture.name,
    classes: source.facts.classes.length,
    origin: `epoch ${epoch}` +
      (accuracy === undefined ? "" : `, validation accuracy ${accuracy.toFixed(3)}`),
    files: await writeExport(out, files, signal),
    notes,
  };
}

/** Makes the files of a format, and notes what a user should know. */
type FormatFiles = (source: ExportSource, notes: string[]) => Promise<ExportFile[]>;

const FILES_OF: Record<ExportFormat, FormatFiles> = {
  safetensors: (source) =>
    Promise.resolve([{ path: "model.safetensors", content: () => lockstepFile(source) }]),
  torchvision: (source, notes) => {
    const { facts, state } = source;
    const path = "torchvision.safetensors";
    const { name, module } = facts.architecture;
    if (module !== undefined) {
      notes.push(
        `torchvision has no model of ${module}, so there is no ${path}: ` +
          "--format safetensors gives the weights in PyTorch's layout",
      );
      return Promise.resolve([]);
    }
    notes.push(
      isInTorchvision(facts)
        ? `In Python: ${pythonModel(facts, state).replace("\n", "; ")}; ` +
          `model.load_state_dict(safetensors.torch.load_file("${path}"))`
        : `torchvision has no ${name}: the names in ${path} are those that its ` +
          "own models give such layers",
    );
    return Promise.resolve([{ path, content: () => torchvisionFile(source) }]);
  },
  tfjs: browserFiles,
};

/** `tfjs/` and `demo/`, of a graph model that was loaded back and compared. */
async function browserFiles(source: ExportSource, notes: string[]): Promise<ExportFile[]> {
  const { model, size, facts } = source;
  const graphModel = makeGraphModel(model, size, { ...facts });
  const difference = await checkGraphModel(graphModel, model, size);
  notes.push(`tfjs: loaded back, the logits differ by at most ${difference.toExponential(1)}`);
  const count = shardCount(graphModel);
  const paths = Array.from({ length: count }, (_, i) => `group1-shard${i + 1}of${count}.bin`);
  const { description, weightSpecs } = graphModel;
  const weightsManifest = [{ paths, weights: weightSpecs }];
  const files: ExportFile[] = [
    ...paths.map((path, i) => ({ path: `tfjs/${path}`, content: () => shardAt(graphModel, i) })),
    {
      path: "tfjs/model.json",
      content: () => JSON.stringify({ ...description, weightsManifest }) + "\n",
    },
  ];
  const bytes = weightBytes(graphModel);
  if (bytes > MAX_DEMO_BYTES) {
    notes.push(
      `There is no demo: ${
        (bytes / 1e6).toFixed(0)
      } MB of weights are more than a page gets by with ` +
        `(${(MAX_DEMO_BYTES / 1e6).toFixed(0)} MB)`,
    );
    return files;
  }
  notes.push(`Demo: open ${join("demo", "index.html")} in a browser, and drop a photo on it`);
  return [...files, ...await demoFiles(graphModel, facts)];
}
