/**
 * The config and the machine: what someone needs who wants to repeat the run.
 *
 * @module
 */
import { countNames } from "../base/compute_device.ts";
import { type Html, html } from "../web/html.ts";
import { formatBytes } from "../base/format.ts";
import { moment } from "../web/moment.ts";
import { configEntries, type ConfigEntry } from "./changed_keys.ts";
import { isTree, type RunFiles, type Tree } from "./run_files.ts";
import type { Section } from "./section.ts";

/** The config with the keys that differ from the defaults marked. */
export function configSection({ config, configText }: RunFiles): Section | undefined {
  if (!config) return undefined;
  const entries = configEntries(config);
  const known = entries.some(({ changed }) => changed !== undefined);
  return {
    id: "config",
    title: "Config",
    note: known
      ? "Every key with its value; those that differ from the default are marked."
      : "Of another version of Lockstep: what is a default isn't known.",
    body: html`<div class="card">
      ${
      known &&
      html`
        <label
          class="switch"><input type="checkbox" id="only-changed"> Only what differs from the defaults</label>
      `
    }
      <div class="scroll" tabindex="0" role="region" aria-label="Keys and values">
      <table class="wide config"><thead><tr><th scope="col">Key</th><th scope="col">Value</th></tr></thead>
      <tbody>${entries.map(configRow)}</tbody></table></div>
      ${
      configText && html`
        <details>
          <summary>config.yaml</summary>
          <pre>${configText}</pre>
        </details>
      `
    }
    </div>`,
  };
}

function configRow({ key, value, changed }: ConfigEntry): Html {
  return html`
    <tr class="${changed === false ? "usual" : "changed"}">
      <th scope="row"><code>${key}</code>${changed && html`
        <span class="badge">set</span>
      `}</th>
      <td>${valueHtml(value)}</td>
    </tr>
  `;
}

/** The value of a config key. */
export function valueHtml(value: unknown): Html {
  if (Array.isArray(value) && value.some((each) => typeof each === "object")) {
    return html`<pre>${value.map((each) => `- ${inline(each)}`).join("\n")}</pre>`;
  }
  return html`<code>${inline(value)}</code>`;
}

/** A value in one line, in YAML's short form; braces only where it is inside of another. */
function inline(value: unknown, inside = false): string {
  if (Array.isArray(value)) return `[${value.map((each) => inline(each, true)).join(", ")}]`;
  if (!isTree(value)) return typeof value === "string" ? value : JSON.stringify(value) ?? "";
  const entries = Object.entries(value).map(([key, each]) => `${key}: ${inline(each, true)}`);
  return inside ? `{ ${entries.join(", ")} }` : entries.join(", ");
}

/** Rows of the environment: a name, and what it is in the file. */
const ENVIRONMENT: readonly [string, (tree: Tree) => string | Html | undefined][] = [
  ["Begun", ({ time }) => typeof time === "string" ? moment(time) : undefined],
  ["Command", ({ commandLine }) => Array.isArray(commandLine) ? commandLine.join(" ") : undefined],
  [
    "Lockstep",
    ({ lockstep }) => isTree(lockstep) ? joined(lockstep.version, lockstep.commit) : undefined,
  ],
  ["TensorFlow", ({ tensorflow }) => joined(tensorflow)],
  [
    "Deno",
    ({ deno, v8, typescript }) =>
      joined(deno, v8 && `V8 ${v8}`, typescript && `TypeScript ${typescript}`),
  ],
  [
    "nats-server",
    ({ natsServer: server }) =>
      isTree(server)
        ? joined(
          server.version,
          server.name,
          `at ${server.address}`,
          server.own === true && "started by Lockstep",
          server.tls === true && "TLS",
          typeof server.maxPayload === "number" &&
            `messages up to ${formatBytes(server.maxPayload)}`,
        )
        : joined(server),
  ],
  [
    "System",
    ({ os }) => isTree(os) ? joined(os.name, os.release, os.architecture) : undefined,
  ],
  [
    "CPU",
    ({ cpu }) => isTree(cpu) ? joined(cpu.model, cpu.cores && `${cpu.cores} cores`) : undefined,
  ],
  [
    "Memory",
    ({ memory }) =>
      isTree(memory) && typeof memory.total === "number" && typeof memory.available === "number"
        ? `${formatBytes(memory.total)}, of which ${formatBytes(memory.available)} were free`
        : undefined,
  ],
  [
    "Devices",
    ({ devices }) => Array.isArray(devices) ? countNames(devices.map(String)) : undefined,
  ],
  ["Workers", ({ workers }) => joined(workers)],
  ["Threads per worker", ({ threadsPerWorker }) => joined(threadsPerWorker)],
];

/** Returns the section about the environment of the run. */
export function environmentSection({ environment }: RunFiles): Section | undefined {
  if (!environment) return undefined;
  const rows = ENVIRONMENT.flatMap(([name, valueOf]) => {
    const value = valueOf(environment);
    return value
      ? [html`
        <tr>
          <th scope="row">${name}</th>
          <td class="name">${value}</td>
        </tr>
      `]
      : [];
  });
  return {
    id: "environment",
    title: "Environment",
    body: html`
      <div class="card scroll" tabindex="0" role="region" aria-label="Programs and machine">
        <table class="wide">
          <tbody>${rows}</tbody>
        </table>
      </div>
    `,
  };
}

function joined(...parts: unknown[]): string | undefined {
  const known = parts.filter((part) => typeof part === "string" || typeof part === "number");
  return known.length > 0 ? known.join(", ") : undefined;
}
