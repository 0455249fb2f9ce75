/**
 * Draws docs/img/architecture.svg: coordinator, workers, exchange, data and files of a run.
 *
 * @module
 */
import { join } from "node:path";
import { PROJECT_ROOT } from "./files.ts";

const WIDTH = 880;
const HEIGHT = 500;
const LINE_HEIGHT = 17;

/** A box: its left upper corner, its size, its class in the style, and its lines, the first of which is bold. */
type Box = readonly [x: number, y: number, width: number, height: number, of: string, ...string[]];

const BOXES: readonly Box[] = [
  [
    20,
    20,
    250,
    112,
    "process",
    "Command line or program",
    "src/cli.ts, mod.ts",
    "config: YAML and flags",
  ],
  [
    310,
    20,
    550,
    112,
    "process",
    "Coordinator",
    "life of the run, plan of each epoch",
    "starts workers, rules each step by messages",
    "adds gradients over NATS, in rank order",
  ],
  [
    20,
    180,
    250,
    112,
    "data",
    "Data",
    "image folders, archives, CIFAR-10",
    "each worker reads its own share",
    "decode, transform, batch",
  ],
  [
    310,
    180,
    250,
    112,
    "exchange",
    "Broker (nats-server)",
    "commands, heartbeats, results",
    "gradients between hosts",
  ],
  [
    610,
    180,
    250,
    112,
    "exchange",
    "Shared memory",
    "gradients, parameters and",
    "optimizer state of one host",
  ],
  [
    20,
    346,
    250,
    128,
    "data",
    "Run folder",
    "config.yaml, history.json",
    "events.jsonl, metrics, run.log",
    "checkpoints: best, last",
    "report.html",
  ],
  [
    310,
    346,
    160,
    128,
    "process",
    "Worker, rank 0",
    "loader",
    "forward, backward",
    "optimizer: its shard",
    "validation: its share",
  ],
  [
    505,
    346,
    160,
    128,
    "process",
    "Worker, rank 1",
    "loader",
    "forward, backward",
    "optimizer: its shard",
    "validation: its share",
  ],
  [
    700,
    346,
    160,
    128,
    "process",
    "Worker, rank N−1",
    "loader",
    "forward, backward",
    "optimizer: its shard",
    "validation: its share",
  ],
];

/** Lines with arrowheads at the end, or at both ends. */
const ARROWS: readonly (readonly [path: string, both: boolean])[] = [
  ["M270 66 H306", false], // command line to coordinator
  ["M435 132 V176", true], // coordinator and broker
  ["M735 132 V176", true], // coordinator and shared memory
  ["M435 292 V328", true], // broker and workers
  ["M735 292 V328", true], // shared memory and workers
  ["M145 292 V312 H350 V328", false], // data to the workers
  ["M310 108 H286 V410 H274", false], // coordinator writes the run folder
];

/** Colours that stand out on white and on black: the boxes bring their own ground. */
const STYLE = `
  text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #1c2430; }
  .title { font-weight: 600; }
  rect { stroke-width: 1.5; }
  .host { fill: none; stroke: #7a8594; stroke-dasharray: 5 4; }
  .process { fill: #dbe8fb; stroke: #3a6fb5; }
  .exchange { fill: #fbe6cf; stroke: #b8762a; }
  .data { fill: #dcf0df; stroke: #3d8a4c; }
  path.line { fill: none; stroke: #7a8594; stroke-width: 1.6; }
  marker path { fill: #7a8594; }`;

/** The picture as SVG. */
export function architecturePicture(): string {
  const boxes = BOXES.map(([x, y, width, height, of, ...lines]) => {
    const first = y + (height - LINE_HEIGHT * (lines.length - 1)) / 2 + 4;
    const texts = lines.map((line, index) =>
      `<text x="${x + width / 2}" y="${first + index * LINE_HEIGHT}" text-anchor="middle"` +
      `${index === 0 ? ' class="title"' : ""}>${line}</text>`
    );
    const rect =
      `<rect class="${of}" x="${x}" y="${y}" width="${width}" height="${height}" rx="8"/>`;
    return [rect, ...texts].join("\n");
  });
  const arrows = ARROWS.map(([path, both]) =>
    `<path class="line" d="${path}" marker-end="url(#head)"${
      both ? ' marker-start="url(#head)"' : ""
    }/>`
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">
<title>A run: the coordinator, its workers, their exchange, data and files</title>
<style>${STYLE}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>
<rect class="host" x="300" y="332" width="570" height="156" rx="10"/>
${arrows.join("\n")}
${boxes.join("\n")}
</svg>
`;
}

if (import.meta.main) {
  const path = join(PROJECT_ROOT, "docs/img/architecture.svg");
  await Deno.writeTextFile(path, architecturePicture());
}
