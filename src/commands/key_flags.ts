/**
 * Flags that are short for keys of the config: one table, from which help, overrides and errors come.
 *
 * @module
 */
import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import { given } from "../base/given.ts";
import { nearestName, UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { maskAddress } from "../base/secrets.ts";
import { NATS_URL_VARIABLE } from "../protocol/address.ts";
import type { Override } from "../config/override.ts";
import { type DeviceName, DEVICES } from "../engine/devices.ts";
import type { ImageSize } from "../config/image_size.ts";
import { devicesSchema } from "../gpus/config.ts";
import { DATASET_NAMES, type DatasetName } from "../provision/dataset_catalogue.ts";
import type { Progress } from "../provision/progress.ts";
import type { Flag, Flags } from "./flags.ts";

/** A flag that is short for a key. */
interface KeyFlag extends Flag {
  /** Dotted. */
  readonly key: string;
  /** Reads the value of a flag that is given. */
  readonly read: (flags: Flags, name: string) => unknown;
}

const text = (flags: Flags, name: string) => flags.text(name);
const count = (flags: Flags, name: string) => flags.integer(name, 1);

const ALSO_DEVICE = ["accelerator", "gpu", "cpu"];
const ALSO_DEVICES = ["gpus", "gpu-ids", "device-ids", "visible-devices"];
const DEVICES_HELP =
  "GPUs, such as 0,2: indices, which count within CUDA_VISIBLE_DEVICES as CUDA's do, or UUIDs";

/** All of them, by name. Those without a `key` of their own in `overrides` are named there. */
const KEY_FLAGS = {
  data: {
    key: "data.root",
    value: "DIR",
    also: ["dataset", "data-dir", "data-path", "root", "train-dir"],
    help: "Images: a folder or an archive; or a data set that is known by name",
    read: text,
  },
  model: {
    key: "model.name",
    value: "NAME",
    also: ["arch", "architecture", "backbone", "net"],
    help: "Architecture, such as resnet18",
    read: text,
  },
  weights: {
    key: "model.weights",
    value: "W",
    also: ["pretrained", "initial-checkpoint"],
    help: "pretrained[-v2], none or a .pth/.safetensors file",
    read: text,
  },
  epochs: {
    key: "train.epochs",
    value: "N",
    also: ["num-epochs", "max-epochs", "n-epochs"],
    help: "How often all training images are seen",
    read: count,
  },
  "batch-size": {
    key: "train.batchSize",
    value: "N",
    also: ["batch", "bs", "train-batch-size"],
    help: "Images per step, over all workers",
    read: count,
  },
  lr: {
    key: "train.lr",
    value: "X",
    also: ["learning-rate", "base-lr", "lr0"],
    help: "Learning rate before the schedule",
    read: decimal,
  },
  "image-size": {
    key: "data.train",
    value: "PX",
    also: ["img-size", "imgsz", "input-size", "crop-size", "train-crop-size", "size", "resolution"],
    help: "Side of the images; Resize, crops and paddings are scaled alike",
    read: count,
  },
  device: {
    key: "device",
    value: "D",
    also: ALSO_DEVICE,
    help: "auto, cpu or gpu",
    read: text,
  },
  devices: {
    key: "devices",
    value: "LIST",
    also: ALSO_DEVICES,
    help: DEVICES_HELP,
    read: devicesOf,
  },
  workers: {
    key: "workers",
    short: "w",
    value: "N",
    also: ["num-workers", "nproc-per-node", "world-size"],
    help: "Worker processes, each with a GPU of its own; unless set, one per free GPU, else 1",
    read: count,
  },
  hosts: {
    key: "hosts.count",
    value: "N",
    also: ["nnodes", "num-nodes", "nodes", "num-machines"],
    help: "Hosts of the run: this one, and others that join it by the line that is printed",
    read: count,
  },
  listen: {
    key: "hosts.listen",
    value: "ADDR",
    also: ["bind", "master-addr", "rdzv-endpoint"],
    help: "Where other hosts join, such as 0.0.0.0:4222",
    read: text,
  },
  "token-file": {
    key: "hosts.tokenFile",
    value: "FILE",
    also: ["token"],
    help: "Token that lets other hosts in; made if it is missing",
    read: text,
  },
  seed: {
    key: "seed",
    value: "S",
    also: ["random-seed", "manual-seed"],
    help: "Seed of everything random",
    read: (flags: Flags, name: string) => flags.integer(name, 0),
  },
  out: {
    key: "out",
    value: "DIR",
    also: ["output", "output-dir", "project", "save-dir", "log-dir"],
    help: "Folder that gets a folder per run",
    read: text,
  },
  nats: {
    key: "nats.url",
    value: "URL",
    also: ["nats-url", "broker"],
    help: "Use a running nats-server instead of starting one",
    read: text,
  },
  dashboard: {
    key: "dashboard",
    value: "PORT",
    optional: true,
    help: "Show the run in the browser while it goes on",
    read: (flags: Flags, name: string) => flags.optionalInteger(name, 1, true),
  },
} as const satisfies Record<string, Omit<KeyFlag, "name">>;

/** Name of a flag that is short for a key. */
export type KeyFlagName = keyof typeof KEY_FLAGS;

/** Flags of `train` that are short for keys. */
export const RUN_KEY_FLAGS: readonly KeyFlagName[] = [
  "data",
  "model",
  "weights",
  "epochs",
  "batch-size",
  "lr",
  "image-size",
  "device",
  "devices",
  "workers",
  "hosts",
  "listen",
  "token-file",
  "seed",
  "out",
  "nats",
  "dashboard",
];

/** Flags by their names, with what a command says of them otherwise. */
export function keyFlags(
  names: readonly KeyFlagName[],
  changes: Partial<Record<KeyFlagName, Partial<Flag>>> = {},
): Flag[] {
  return names.map((name) => {
    const { key, help, value, ...rest }: Omit<KeyFlag, "name"> = KEY_FLAGS[name];
    const { short, also, optional } = rest;
    const keys = name === "image-size" ? "data.train, data.val" : key;
    return {
      name,
      ...(value ? { value } : {}),
      ...(short ? { short } : {}),
      ...(also ? { also } : {}),
      ...(optional ? { optional } : {}),
      help: `${help} (key${keys === key ? "" : "s"}: ${keys})`,
      ...changes[name],
    };
  });
}

/** The flags `--device` and `--devices` of commands that compute without a config of their own. */
export const DEVICE_FLAGS: readonly Flag[] = [
  {
    name: "device",
    value: "D",
    also: ALSO_DEVICE,
    help: "auto, cpu or gpu (default: auto)",
  },
  { name: "devices", value: "LIST", also: ALSO_DEVICES, help: DEVICES_HELP },
];

/**
 * Reads {@linkcode DEVICE_FLAGS}.
 *
 * @throws {UsageError} for another name than that of a device
 */
export function deviceWishes(flags: Flags): { device?: DeviceName; devices?: string[] } {
  const device = deviceOf(flags);
  const names = devicesOf(flags, "devices");
  if (names !== undefined && device === "cpu") {
    throw new UsageError(
      `${flags.typed("devices")} names GPUs, but ${
        flags.typed("device")
      } is cpu: leave out one of them`,
    );
  }
  return { ...given("device", device), ...given("devices", names) };
}

function devicesOf(flags: Flags, name: string): string[] | undefined {
  const value = flags.text(name);
  if (value === undefined) return undefined;
  const names = devicesSchema.safeParse(value);
  if (names.success) return names.data;
  throw new UsageError(`${flags.typed(name)} is ${value}: ${names.error.issues[0]?.message}`);
}

function deviceOf(flags: Flags): DeviceName | undefined {
  const text = flags.text("device");
  const known = DEVICES.find((name) => name === text);
  if (text === undefined || known) return known;
  const nearest = nearestName(text, DEVICES);
  throw new UsageError(
    `${flags.typed("device")} is ${text}: ${
      nearest ? `did you mean ${nearest}?` : `give ${DEVICES.join(", ")}`
    }`,
  );
}

/** The settings that flags make in a config. */
export interface KeySettings {
  /** Of the flags. */
  readonly own: Override[];
  /** In the order of their strength: the environment, `--set`, flags. */
  readonly overrides: Override[];
  readonly imageSize?: ImageSize;
}

/**
 * Reads the flags that are short for keys, and joins them with the overrides of `--set`.
 *
 * @param sets Of `--set` and `--override`
 * @throws {UsageError} for a value that is none, and where a flag and an override of the same key differ
 */
export async function keySettings(
  flags: Flags,
  names: readonly KeyFlagName[],
  sets: readonly Override[] = [],
): Promise<KeySettings> {
  const own: Override[] = [];
  let imageSize: ImageSize | undefined;
  for (const name of names) {
    if (!flags.given(name)) continue;
    const { key, read } = KEY_FLAGS[name];
    const value = read(flags, name);
    const source = flags.typed(name);
    if (name === "image-size") imageSize = { side: value as number, source };
    else if (name === "data") own.push({ ...await dataOf(value as string, source), source });
    else if (name === "dashboard" && typeof value === "number") {
      own.push({ key: "dashboard.port", value, source });
    } else own.push({ key, value, source });
  }
  refuseContradictions(own, sets);
  const has = (key: string) => [...own, ...sets].some((each) => each.key === key);
  // One worker for each GPU that is named, whatever number a recipe has.
  if (names.includes("devices") && has("devices") && !has("workers")) {
    own.push({ key: "workers", value: null, source: "--devices" });
  }
  return {
    own,
    overrides: [...natsFromEnvironment(), ...sets, ...own],
    ...(imageSize ? { imageSize } : {}),
  };
}

/** The server that the environment names, as an override that flags come after. */
export function natsFromEnvironment(): Override[] {
  const value = Deno.env.get(NATS_URL_VARIABLE);
  return value ? [{ key: "nats.url", value, source: NATS_URL_VARIABLE }] : [];
}

/** The server that a flag `--nats` or the environment names. */
export function natsUrlOf(flags: Flags): string | undefined {
  return flags.text("nats") ?? (Deno.env.get(NATS_URL_VARIABLE) || undefined);
}

/** A flag's value as a decimal number, in any of the usual spellings. */
function decimal(flags: Flags, name: string): number | undefined {
  const text = flags.text(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) && Number.isFinite(value)) return value;
  throw new UsageError(`${flags.typed(name)} is ${text}: give a number, such as 0.01 or 1e-3`);
}

/**
 * The folder or archive that `--data` names where there is no config: a data set that is known by name is fetched, unless
 * there is a folder of that name.
 *
 * @throws {UsageError} for an address, or a data set that can't be had
 */
export async function dataPlace(flags: Flags, progress: Progress): Promise<string | undefined> {
  const text = flags.text("data");
  if (text === undefined || await exists(text)) return text;
  const { key, value } = await dataOf(text, flags.typed("data"));
  if (key !== "data.dataset") return value as string;
  const { ensureDataset } = await import("../provision/datasets.ts");
  return await ensureDataset(value as DatasetName, progress);
}

/** Reads `--data`: a path, or the name of a known data set. */
async function dataOf(text: string, flag: string): Promise<Override> {
  if (DATASET_NAMES.some((name) => name === text)) {
    if (!await exists(text)) return { key: "data.dataset", value: text };
    throw new UsageError(
      `${flag} ${text} is a folder here and the name of a data set: write ./${text} for the folder, or ` +
        `--set data.dataset=${text} for the data set`,
    );
  }
  if (/^file:\/\//i.test(text)) return { key: "data.root", value: pathOf(text, flag) };
  if (/^[a-z][a-z\d+.-]+:\/\//i.test(text)) {
    throw new UsageError(
      `${flag} is ${
        maskAddress(text)
      }, but images are read from this machine: fetch the folder or archive, and name it`,
    );
  }
  return { key: "data.root", value: text };
}

function pathOf(url: string, flag: string): string {
  try {
    const path = fileURLToPath(url);
    if (isAbsolute(path)) return path;
  } catch {
    // said below
  }
  throw new UsageError(`${flag} is ${url}, which is no path: name a folder or an archive`);
}

/** @throws {UsageError} for a flag beside an override that gives its key another value */
function refuseContradictions(own: readonly Override[], sets: readonly Override[]): void {
  for (const { key, value, source } of own) {
    const other = sets.findLast((set) => set.key === key);
    if (!other || JSON.stringify(other.value) === JSON.stringify(value)) continue;
    const shown = (each: unknown) => {
      const text = typeof each === "string" ? each : JSON.stringify(each);
      return key === "nats.url" ? maskAddress(text) : text;
    };
    throw new UsageError(
      `${source} gives ${key} the value ${shown(value)}, and ${
        other.source ?? `--set ${key}`
      } gives it ${shown(other.value)}: leave one of them out`,
    );
  }
}
