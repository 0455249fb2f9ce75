/**
 * Makes the config's JSON Schema for editors and its input types. A test holds both to the schemas.
 *
 * Usage: deno task make:config
 *
 * @module
 */
import { join } from "node:path";
import { describedSchema, editorSchema, SCHEMA_PATH, undescribed } from "./config_schema.ts";
import { inputTypes, TYPES_PATH } from "./config_types.ts";
import { PROJECT_ROOT, readText } from "./files.ts";

/**
 * The generated files: their texts by their paths.
 *
 * @throws {Error} when a key of the schemas isn't described
 */
export async function configFiles(): Promise<Record<string, string>> {
  const schema = editorSchema();
  const missing = undescribed(schema);
  if (missing.length > 0) {
    throw new Error(`Add .describe("…") to the schemas of ${[...new Set(missing)].join(", ")}`);
  }
  return {
    [SCHEMA_PATH]: `${JSON.stringify(schema, null, 2)}\n`,
    [TYPES_PATH]: await formatted(inputTypes(describedSchema())),
  };
}

/** A module in the layout of `deno fmt`. */
async function formatted(text: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--config", join(PROJECT_ROOT, "deno.json"), "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error("deno fmt failed");
  return readText(stdout);
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(await configFiles())) {
    await Deno.writeTextFile(join(PROJECT_ROOT, path), text);
  }
}
