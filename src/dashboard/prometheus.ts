/**
 * The runs that go on, in Prometheus' text format.
 *
 * @module
 */
import type { LiveStatus } from "../records/live_status.ts";
import type { MetricsPoint } from "../records/metrics_log.ts";
import type { RunSummary } from "./run_list.ts";

/** The media type of the format. */
export const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** The known facts of a run. */
export interface ScrapedRun {
  readonly summary: RunSummary;
  readonly live: LiveStatus | undefined;
  /** The last point. */
  readonly point: MetricsPoint | undefined;
  /** The last validation. */
  readonly validation: { readonly loss: number; readonly accuracy: number } | undefined;
}

type Labels = Readonly<Record<string, string | number>>;

/** A family of samples. */
class Family {
  readonly #head: string;
  readonly #name: string;
  readonly #lines: string[] = [];

  constructor(name: string, help: string) {
    this.#name = name;
    this.#head = `# HELP ${name} ${help}\n# TYPE ${name} gauge\n`;
  }

  add(labels: Labels, value: number | null | undefined): void {
    if (value === null || value === undefined) return;
    const pairs = Object.entries(labels).map(([name, text]) =>
      `${name}="${escapeLabel(String(text))}"`
    );
    this.#lines.push(`${this.#name}{${pairs.join(",")}} ${sampleValue(value)}\n`);
  }

  /** Nothing where there are no samples. */
  toString(): string {
    return this.#lines.length > 0 ? this.#head + this.#lines.join("") : "";
  }
}

/** Writes the page that Prometheus scrapes. */
export function prometheusText(runs: readonly ScrapedRun[]): string {
  const families: Family[] = [];
  const family = (name: string, help: string) => {
    const made = new Family(`lockstep_${name}`, help);
    families.push(made);
    return made;
  };
  const info = family("run_info", "What is trained; the value is always 1.");
  const epoch = family("epoch", "The epoch that goes on, counted from 1.");
  const epochs = family("epochs", "Epochs of the run.");
  const samples = family("phase_samples", "Samples of the phase that goes on, done and in all.");
  const examples = family("examples_seen", "Training images seen, over all epochs.");
  const trainLoss = family("train_loss", "Mean training loss since the point before.");
  const trainAccuracy = family(
    "train_accuracy",
    "Training accuracy since the point before, 0 to 1.",
  );
  const validationLoss = family("validation_loss", "Loss of the last validation.");
  const validationAccuracy = family(
    "validation_accuracy",
    "Accuracy of the last validation, 0 to 1.",
  );
  const best = family(
    "best_validation_accuracy",
    "Best validation accuracy after an epoch, 0 to 1.",
  );
  const rate = family("learning_rate", "Learning rate of the last step.");
  const speed = family("images_per_second", "Training images per second of each rank.");
  const step = family("step_seconds", "Mean time of a step's parts over the ranks.");
  const rankStep = family("rank_step_seconds", "Mean time of a step's parts of each rank.");
  const memory = family("resident_memory_bytes", "Memory of each process that is in RAM.");
  const silence = family("worker_silence_seconds", "Time since a worker's last heartbeat.");
  const refused = family(
    "refused_messages",
    "Messages of others on the run's subjects that weren't accepted: by the coordinator, by reason; by the workers.",
  );
  const workers = family("workers", "Workers of the run at present.");
  const recoveries = family("recoveries", "Recoveries from lost workers so far.");
  const recovery = family("recovery_seconds", "Time of all recoveries from lost workers so far.");
  const gpu = family("gpu_utilization_ratio", "Share of the time that a GPU worked, 0 to 1.");
  const gpuUsed = family("gpu_memory_used_bytes", "Memory of a GPU that is in use.");
  const gpuTotal = family("gpu_memory_total_bytes", "Memory of a GPU.");

  for (const { summary, live, point, validation } of runs) {
    const run = summary.id;
    info.add({ run, name: summary.name, model: summary.model, workers: summary.workers ?? 0 }, 1);
    epoch.add({ run }, live?.epoch);
    epochs.add({ run }, summary.ofEpochs);
    samples.add({ state: "done", phase: live?.phase ?? "", run }, live?.done);
    samples.add({ state: "total", phase: live?.phase ?? "", run }, live?.total);
    workers.add({ run }, summary.workers);
    recoveries.add({ run }, summary.recoveries);
    recovery.add({ run }, summary.recoverySeconds);
    examples.add({ run }, point?.examples);
    trainLoss.add({ run }, point?.loss);
    trainAccuracy.add({ run }, point?.accuracy);
    validationLoss.add({ run }, validation?.loss);
    validationAccuracy.add({ run }, validation?.accuracy);
    best.add({ run }, summary.best?.accuracy);
    rate.add({ run }, point?.learningRate);
    for (const [part, ms] of Object.entries(point?.ms ?? {})) {
      if (part !== "total") step.add({ part: snake(part), run }, ms / 1000);
    }
    for (const { rank, imagesPerSecond, ms } of point?.ranks ?? []) {
      speed.add({ rank, run }, imagesPerSecond);
      for (const [part, time] of Object.entries(ms)) {
        rankStep.add({ rank, part: snake(part), run }, time / 1000);
      }
    }
    memory.add({ process: "coordinator", run }, live?.residentBytes);
    for (const { rank, residentBytes, silentMs } of live?.workers ?? []) {
      memory.add({ process: "worker", rank, run }, residentBytes);
      silence.add({ rank, run }, silentMs / 1000);
    }
    for (const [reason, count] of Object.entries(live?.refused ?? {})) {
      refused.add({ reason, run }, count);
    }
    for (const { index, name, ...use } of live?.gpus ?? []) {
      gpu.add({ gpu: index, name, run }, use.utilization);
      gpuUsed.add({ gpu: index, name, run }, use.memoryUsedBytes);
      gpuTotal.add({ gpu: index, name, run }, use.memoryTotalBytes);
    }
  }
  return families.join("");
}

function snake(part: string): string {
  return part.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function escapeLabel(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => character === "\n" ? "\\n" : `\\${character}`);
}

function sampleValue(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(value);
}
