/**
 * Runs commands in one process, each with a path that can't be what it should be, and prints how each ended.
 *
 * @module
 */
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { main } from "../../src/cli.ts";
import { finishOutput, guardConsole } from "../../src/terminal/terminal_stream.ts";

/** The result of a command. */
export interface Walked {
  readonly command: string;
  /** The kind of path. */
  readonly kind: string;
  readonly path: string;
  /** -1 where it didn't end. */
  readonly code: number;
  readonly text: string;
}

const LIMIT_MS = 120_000;
const [folder, run, root] = Deno.args;
const began = performance.now();
guardConsole();
const write = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(text));

const place = join(folder, "wrong");
await Deno.mkdir(place);
const at = (name: string) => join(place, name);
await Deno.mkdir(at("folder"));
await Deno.writeTextFile(at("file"), "");
await Deno.writeTextFile(at("closed-file"), "{}");
await Deno.chmod(at("closed-file"), 0);
await Deno.mkdir(at("closed-folder"), { mode: 0 });
await new Deno.Command("mkfifo", { args: [at("pipe")] }).output();
await Deno.symlink("nowhere", at("broken-link"));
await Deno.symlink("loop", at("loop"));
await Deno.mkdir(at("read-only"));
await Deno.chmod(at("read-only"), 0o555);
await Deno.symlink("/dev/zero", at("device")); // a link, which no mistake of a command's can remove
const socket = Deno.listen({ transport: "unix", path: at("socket") });
const KINDS: Record<string, string> = {
  missing: at("missing"),
  folder: at("folder"),
  file: at("file"),
  "below a file": join(at("file"), "x"),
  "no permission": at("closed-file"),
  "a folder without permission": at("closed-folder"),
  "below a folder without permission": join(at("closed-folder"), "x"),
  pipe: at("pipe"),
  socket: at("socket"),
  device: at("device"),
  "broken link": at("broken-link"),
  "loop of links": at("loop"),
  "too long": at("n".repeat(300)),
  "in a read-only folder": join(at("read-only"), "x"),
};
const READ_FILE = Object.keys(KINDS).filter((kind) => kind !== "in a read-only folder");
const READ_FOLDER = READ_FILE.filter((kind) => kind !== "folder");
const WRITE_FOLDER = Object.keys(KINDS).filter((kind) => !["missing", "folder"].includes(kind));
/** A file in a place where one may write is replaced, whatever its own rights. */
const REPLACED = ["missing", "file", "no permission", "broken link", "loop of links"];
const WRITE_FILE = Object.keys(KINDS).filter((kind) => !REPLACED.includes(kind));

const config = join(folder, "config.yaml");
const image = join(root, "val", "dark", "0.jpg");
const tiny = ["--config", config];
/** Commands with `@` for the path, and the kinds that are wrong for it. */
const COMMANDS: [command: string[], kinds: string[]][] = [
  [["train", "--config", "@"], READ_FILE],
  [["train", ...tiny, "--set", "data.root=@"], READ_FOLDER],
  [["train", ...tiny, "--weights", "@"], READ_FILE],
  [["train", ...tiny, "--out", "@"], WRITE_FOLDER],
  [["train", "--resume", "@"], READ_FOLDER],
  [["compare", "--config", "@"], READ_FILE],
  [["compare", "--resume", "@"], READ_FOLDER],
  [["compare", ...tiny, "--out", "@"], WRITE_FOLDER],
  [["show-batch", "--config", "@"], READ_FILE],
  [["show-batch", ...tiny, "--out", "@"], WRITE_FILE],
  [["evaluate", "--run", "@"], READ_FOLDER],
  [["evaluate", "--checkpoint", "@", "--data", join(root, "val")], READ_FOLDER],
  [["evaluate", "--run", run, "--data", "@"], READ_FOLDER],
  [["evaluate", "--run", run, "--out", "@"], WRITE_FOLDER],
  [["predict", "--run", "@", image], READ_FOLDER],
  [["predict", "--checkpoint", "@", image], READ_FOLDER],
  [["predict", "--run", run, "@"], READ_FILE],
  [["predict", "--run", run, image, "--grid", "@"], WRITE_FILE],
  [["predict", "--run", run, image, "--explain", "@"], WRITE_FOLDER],
  [["export", "--run", "@"], READ_FOLDER],
  [["export", "--run", run, "--format", "safetensors", "--out", "@"], WRITE_FOLDER],
  [["report", "@"], READ_FOLDER],
  [["data", "check", "@"], READ_FOLDER],
  [["data", "check", root, "--out", "@"], WRITE_FOLDER],
  [["bench", "loader", "--data", "@"], READ_FOLDER],
  [["bench", "predict", "@"], READ_FILE],
];

/** Files of a run folder, and commands that may read them; they may do without. */
const RUN_FILES = [
  "config.yaml",
  "history.json",
  "metrics.jsonl",
  "events.jsonl",
  "files.jsonl.gz",
  "checkpoints/last/checkpoint.json",
  "checkpoints/last/model.safetensors",
  "checkpoints/best/checkpoint.json",
  "checkpoints/best/model.safetensors",
];
/** Files of {@linkcode RUN_FILES} without which a run can't go on. */
const NEEDED = RUN_FILES.filter((name) => !/best|metrics|files/.test(name));
const OF_RUN: string[][] = [
  ["train", "--resume", "@", "--set", "train.epochs=2"],
  ["evaluate", "--run", "@", "--out", join(folder, "evaluation")],
  ["predict", "--run", "@", image],
  ["export", "--run", "@", "--format", "safetensors"],
  ["report", "@"],
];

async function walk(args: string[], kind: string, path: string): Promise<void> {
  let text = "";
  for (const stream of [Deno.stdout, Deno.stderr]) {
    stream.write = (bytes) => {
      text += new TextDecoder().decode(bytes);
      return Promise.resolve(bytes.length);
    };
  }
  const limit = Promise.withResolvers<number>();
  const timer = setTimeout(() => limit.resolve(-1), LIMIT_MS);
  const code = await Promise.race([main(args), limit.promise]);
  clearTimeout(timer);
  await finishOutput();
  const command = args.join(" ").replaceAll(folder, "");
  write(`\n@@${JSON.stringify({ command, kind, path, code, text })}\n`);
}

for (const [command, kinds] of COMMANDS) {
  for (const kind of kinds) {
    const path = KINDS[kind];
    await walk(command.map((part) => part.replace("@", path)), kind, path);
  }
}
if (Deno.env.get("TIMES")) console.error("commands", performance.now() - began);
let count = 0;
for (const name of RUN_FILES) {
  for (const kind of ["folder", "pipe"]) {
    for (const command of OF_RUN) {
      if (kind === "folder" && !name.endsWith(".json")) continue;
      if (command[0] === "train" && !NEEDED.includes(name)) continue; // the run would go on
      const copy = join(folder, `copy-${count++}`);
      await cp(run, copy, { recursive: true, verbatimSymlinks: true });
      const path = await Deno.realPath(join(copy, name));
      await Deno.remove(path, { recursive: true });
      if (kind === "pipe") await new Deno.Command("mkfifo", { args: [path] }).output();
      else await Deno.symlink(KINDS[kind], path);
      await walk(command.map((part) => part.replace("@", copy)), kind, path);
      await Deno.remove(copy, { recursive: true });
    }
  }
}
socket.close();
Deno.exit(0);
