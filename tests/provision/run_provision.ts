import assert from "node:assert/strict";
import type { ProgressEvent } from "../../src/provision/progress.ts";
import { runDeno } from "../support/run_deno.ts";

/** The outcome of a call in another process. */
export interface Outcome {
  path?: string;
  /** Name and message of the error. */
  name?: string;
  message?: string;
  events: ProgressEvent[];
}

const CALLS = {
  ensureNatsServer: ["provision/nats_server", "ensureNatsServer", ""],
  ensureLibtensorflow: ["provision/libtensorflow", "ensureLibtensorflow", ""],
  ensureCudaBuild: ["provision/libtensorflow", "ensureLibtensorflow", "", ', "cuda-12.5"'],
  ensureFoodGroups: ["provision/datasets", "ensureDataset", '"food-groups", '],
  ensureResnet18: ["models/pretrained_weights", "ensurePretrainedWeights", '"resnet18", '],
} as const;

/** Options for the start of a call's process. */
interface ProcessOptions {
  readonly env?: Record<string, string>;
  /** Variables of the programs that the process starts; its own modules are loaded without them. */
  readonly childEnv?: Record<string, string>;
  readonly rights?: string[];
}

/** Fetches something in a process of its own, with an own cache, environment and rights. */
export async function runProvision(
  cache: string,
  call: keyof typeof CALLS,
  { env = {}, childEnv = {}, rights = ["--allow-all"] }: ProcessOptions = {},
): Promise<Outcome> {
  const [module, name, first, last = ""] = CALLS[call];
  return await runScript(cache, module, `${name}(${first}(event) => events.push(event)${last})`, {
    env,
    childEnv,
    rights,
  });
}

/** Evaluates `call`, which may use what a module of `src/` exports, and `events`. */
export async function runScript(
  cache: string,
  module: string,
  call: string,
  { env = {}, childEnv = {}, rights = ["--allow-all"] }: ProcessOptions = {},
): Promise<Outcome> {
  const url = new URL(`../../src/${module}.ts`, import.meta.url).href;
  const name = call.slice(0, call.indexOf("("));
  const script = `
    import { ${name} } from "${url}";
    for (const [name, value] of Object.entries(${
    JSON.stringify(childEnv)
  })) Deno.env.set(name, value);
    const events = [];
    try {
      const path = await ${call};
      console.log(JSON.stringify({ path, events }));
    } catch (error) {
      console.log(JSON.stringify({ name: error.name, message: error.message, events }));
    }`;
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(file, script);
  try {
    const { stdout, stderr } = await runDeno(
      ["run", "--quiet", "--no-check", "--no-prompt", ...rights, "--config", config, file],
      { env: { LOCKSTEP_CACHE: cache, LOCKSTEP_LIBTENSORFLOW: "", ...env } },
    );
    assert.ok(stdout, stderr);
    return JSON.parse(stdout) as Outcome;
  } finally {
    await Deno.remove(file);
  }
}
