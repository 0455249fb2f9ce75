/**
 * Checks that rooms which read bytes and vectors never take an index for granted: the types are checked with
 * `noUncheckedIndexedAccess`, and errors in these rooms count.
 *
 * Usage: deno task check:indexed
 *
 * @module
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { exitCode } from "./children.ts";
import { PROJECT_ROOT, readText } from "./files.ts";

/** Rooms of `src/` in which an index may be out of range. */
export const CHECKED_ROOMS: readonly string[] = ["data", "exchange", "protocol", "weights"];

/** The parts of deno.json that a type check reads. */
interface ProjectConfig {
  imports: Record<string, string>;
  compilerOptions: Record<string, unknown>;
}

/** The project's config for a check from another folder. */
function strictConfig({ imports, compilerOptions }: ProjectConfig, root: string): ProjectConfig {
  const absolute = Object.entries(imports).map(([name, place]) => [
    name,
    place.startsWith("./") ? new URL(place, root).href : place,
  ]);
  return {
    imports: Object.fromEntries(absolute),
    compilerOptions: { ...compilerOptions, noUncheckedIndexedAccess: true },
  };
}

/** The errors of a type check that lie in some rooms, each with its place. */
export function errorsIn(output: string, rooms: readonly string[]): string[] {
  return output.split(/\n{2,}/).filter((block) => {
    const [, room] = /^ +at file:\/\/\S*?\/src\/(\w+)\/\S+:\d+:\d+$/m.exec(block) ?? [];
    return room !== undefined && rooms.includes(room);
  });
}

/**
 * Checks rooms of a project; returns the errors, or all of the output where the check itself failed.
 *
 * @throws {Deno.errors.NotFound} when there is no such room
 */
export async function checkIndexed(root: string, rooms: readonly string[]): Promise<string[]> {
  for (const room of rooms) await Deno.stat(join(root, "src", room)); // a renamed one isn't forgotten
  const folder = await Deno.makeTempDir({ prefix: "lockstep-indexed-" });
  try {
    const rootUrl = pathToFileURL(join(root, "/")).href;
    const project = JSON.parse(await Deno.readTextFile(join(root, "deno.json")));
    const config = join(folder, "deno.json");
    await Deno.writeTextFile(config, JSON.stringify(strictConfig(project, rootUrl)));
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "check",
        "--config",
        config,
        "--no-lock",
        ...rooms.map((room) => join(root, "src", room)),
      ],
      cwd: root,
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    const output = readText(stderr);
    if (code !== 0 && !/ \[ERROR\]/.test(output)) return [output];
    return errorsIn(output, rooms);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const errors = await checkIndexed(PROJECT_ROOT, CHECKED_ROOMS);
  for (const error of errors) console.error(`${error}\n`);
  console.log(
    errors.length === 0
      ? `Indices: ${CHECKED_ROOMS.join(", ")} check each before they use what it gives`
      : `Indices: ${errors.length} are taken for granted`,
  );
  Deno.exit(exitCode(errors.length === 0 ? 0 : 1));
}
