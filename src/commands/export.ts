/**
 * `deno task export`: a run's model for other programs, and for browsers.
 *
 * @module
 */
import { join } from "node:path";
import { nearestName, UsageError } from "../base/errors.ts";
import { followPointers } from "../base/pointer.ts";
import type { ExportFormat } from "../export/export_run.ts";
import { chosenRun } from "./chosen_run.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG, MODEL_FLAGS, VERBOSE_FLAG } from "./flags.ts";

/** As in `export/export_run.ts`, which loads TensorFlow's bindings. */
const FORMATS: readonly ExportFormat[] = ["safetensors", "torchvision", "tfjs"];

/** `deno task export`. */
export const COMMAND: TaskCommand = {
  name: "export",
  title: "Export a run's model: safetensors, torchvision, tfjs with a demo page",
  summary:
    "Export a run's model: as safetensors, as a state dict of torchvision's model, and for tfjs with a demo page.",
  permissions: "export",
  flags: [
    ...MODEL_FLAGS,
    {
      name: "format",
      short: "f",
      value: "F[,F…]",
      many: true,
      help: `${FORMATS.join(", ")}; repeatable (default: all)`,
    },
    { name: "out", value: "DIR", help: "Folder to write to (default: export in the run's folder)" },
    VERBOSE_FLAG,
    HELP_FLAG,
  ],
  examples: [
    "deno task export",
    "deno task export --run runs/latest --checkpoint last --format torchvision --out exported",
  ],
  run,
};

async function run(flags: Flags): Promise<number> {
  const formats = formatsOf(flags);
  const { say } = await import("../terminal/terminal_stream.ts");
  const run = await chosenRun(flags, say);
  if (run === undefined) {
    throw new UsageError(
      "A checkpoint is exported with its run: name that with --run, such as --run runs/latest",
    );
  }
  const out = flags.text("out") ?? join(await followPointers(run), "export");
  const checkpoint = flags.text("checkpoint") ?? "best";
  const { exportRun } = await import("../export/export_run.ts");
  const verbose = flags.on("verbose");
  const modules = flags.all("allow-module");
  const report = await exportRun({ run, checkpoint, modules, formats, out, verbose });
  const { model, classes, origin, files, notes } = report;
  say(`Exported ${model}, ${classes} classes, ${origin}, to ${out}`);
  for (const [name, bytes] of summed(files)) {
    console.log(`  ${name.padEnd(26)} ${(bytes / 1e6).toFixed(1).padStart(8)} MB`);
  }
  for (const note of notes) say(note);
  return 0;
}

/** The formats that are asked for, each once. */
function formatsOf(flags: Flags): readonly ExportFormat[] {
  const names = flags.all("format").flatMap((list) => list.split(",")).map((name) => name.trim());
  if (names.length === 0 || names.includes("all")) return FORMATS;
  return [
    ...new Set(names.map((name) => {
      const known = FORMATS.find((format) => format === name);
      if (known) return known;
      const nearest = nearestName(name, FORMATS);
      throw new UsageError(
        `Unknown format "${name}": ${
          nearest ? `did you mean ${nearest}?` : `known are ${FORMATS.join(", ")}`
        }`,
      );
    })),
  ];
}

/** Bytes of each file, and of each folder in one. */
function summed(files: ReadonlyMap<string, number>): Map<string, number> {
  const sums = new Map<string, number>();
  for (const [path, bytes] of files) {
    const [top, ...below] = path.split("/");
    const name = below.length > 0 ? `${top}/` : top;
    sums.set(name, (sums.get(name) ?? 0) + bytes);
  }
  return sums;
}
