/**
 * Chooses, of the state dicts in a file of others, the one that fits a network, and makes its names the network's.
 *
 * @module
 */
import { listed } from "../base/listing.ts";
import type { StateDict } from "./state_dicts.ts";
import type { NamedTensors, TorchTensor } from "./torch_tensor.ts";

/** The network that a state dict is wanted for. */
export interface WantedState {
  /** Shapes of its parameters and buffers, by name. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** Makes a public file's name the network's own. */
  readonly rename: (name: string) => string;
}

/** A tensor, and its name in the file for messages. */
export interface NamedTensor {
  readonly fileName: string;
  readonly tensor: TorchTensor;
}

/** A chosen state dict. */
export interface SelectedState {
  /** Tensors by the network's names. */
  readonly tensors: ReadonlyMap<string, NamedTensor>;
  /** Names of tensors that can't be read, each with its kind. */
  readonly unreadable: ReadonlyMap<string, string>;
  /**
   * Notes on the entries that were taken, the prefixes that were removed and the entries that were left out; none
   * where the file is a plain state dict.
   */
  readonly notes: readonly string[];
}

/** Modules that wrap a network or a part of it: DataParallel's, compile's, FSDP's and DeepSpeed's. */
const WRAPPERS = [
  "module",
  "_orig_mod",
  "_fsdp_wrapped_module",
  "_checkpoint_wrapped_module",
  "_forward_module",
];
/** Averages of weights, which training scripts validate. */
const AVERAGED = /(^|[._])(ema|swa|avg|averaged?|shadow)([._]|$)/i;
/** Keys of state dicts, the likeliest first; others follow in the file's order. */
const KEYS = ["", "state_dict", "model_state_dict", "model", "net", "network", "model_state"];
/** BatchNorm's count of batches. */
const BATCH_COUNT = /(^|\.)num_batches_tracked$/;
/** Counters of thop, of averaged models and the like. */
const COUNTER = /(^|\.)(total_ops|total_params|n_averaged|num_updates|decay)$/;
/** Prefixes that are tried of a state dict; the commonest come first. */
const MAX_PREFIXES = 4;
/** Names in a note before it says how many more there are. */
const LISTED = 3;

/** A state dict with a prefix taken off. */
interface View {
  readonly state: StateDict;
  readonly prefix: string;
  readonly tensors: Map<string, NamedTensor>;
  readonly unreadable: Map<string, string>;
  /** Names that don't have the prefix, or are counters. */
  readonly leftOut: string[];
  readonly strippedWrappers: readonly string[];
  /** Names of the network that are in it, and of those the ones with the right shape. */
  readonly found: number;
  readonly fitting: number;
}

/**
 * Selects the state dict, and the prefix of its names, that most of the network's parameters are found in. Of those
 * that have as many, an average of the weights is taken before the weights themselves, as timm does.
 *
 * @param states At least one
 */
export function selectState(states: readonly StateDict[], wanted: WantedState): SelectedState {
  const views = states.flatMap((state) => viewsOf(state, wanted));
  const [best, ...others] = views.sort((a, b) =>
    b.found - a.found || b.fitting - a.fitting || rank(a.state.key) - rank(b.state.key) ||
    (a.found === 0 ? b.tensors.size - a.tensors.size : 0)
  );
  if (!best) throw new Error("There is no state dict to choose from");
  // Those that could have been taken as well; one that most names fail in is another network.
  const rivals = best.found === 0 ? [] : others.filter(({ found }) => 2 * found > best.found)
    .filter(({ state, prefix }) => state !== best.state || prefix !== best.prefix);
  return {
    tensors: best.tensors,
    unreadable: best.unreadable,
    notes: [...takenNotes(best, rivals), ...strippedNotes(best), ...leftOutNotes(best)],
  };
}

/** Tensors of a {@linkcode SelectedState} by the network's names. */
export function tensorsOf({ tensors }: SelectedState): NamedTensors {
  return new Map([...tensors].map(([name, { tensor }]) => [name, tensor]));
}

function rank(key: string): number {
  if (AVERAGED.test(key)) return -1;
  const place = KEYS.indexOf(key);
  return place < 0 ? KEYS.length : place;
}

function viewsOf(state: StateDict, wanted: WantedState): View[] {
  const names = [...state.tensors.keys(), ...state.unreadable.keys()];
  const { bare, stripped } = withoutWrappers(names, wanted);
  const counts = new Map<string, number>();
  for (const name of bare.values()) {
    for (const prefix of prefixesOf(name)) {
      if (!wanted.shapes.has(wanted.rename(name.slice(prefix.length)))) continue;
      counts.set(prefix, (counts.get(prefix) ?? 0) + 1);
    }
  }
  const prefixes = [...counts].sort(([, a], [, b]) => b - a).slice(0, MAX_PREFIXES)
    .map(([prefix]) => prefix);
  return (prefixes.length > 0 ? prefixes : [""]).map((prefix) =>
    view(state, prefix, { bare, stripped }, wanted)
  );
}

/** Returns the prefixes of a name: "" and each beginning that ends in a dot. */
function prefixesOf(name: string): string[] {
  const prefixes = [""];
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
    prefixes.push(name.slice(0, dot + 1));
  }
  return prefixes;
}

interface BareNames {
  /** The file's names → those without wrappers. */
  readonly bare: ReadonlyMap<string, string>;
  readonly stripped: readonly string[];
}

/** Takes wrapping modules off, wherever they stand, unless the network has such itself or two names become one. */
function withoutWrappers(names: readonly string[], { shapes }: WantedState): BareNames {
  const partsWanted = new Set([...shapes.keys()].flatMap((name) => name.split(".")));
  const wrappers = WRAPPERS.filter((wrapper) => !partsWanted.has(wrapper));
  const used = new Set<string>();
  const bare = new Map(names.map((name) => {
    const parts = name.split(".");
    const kept = parts.filter((part, index) =>
      index === parts.length - 1 || !wrappers.includes(part) || !used.add(part)
    );
    return [name, kept.join(".")];
  }));
  return new Set(bare.values()).size === names.length
    ? { bare, stripped: [...used] }
    : { bare: new Map(names.map((name) => [name, name])), stripped: [] };
}

function view(state: StateDict, prefix: string, names: BareNames, wanted: WantedState): View {
  const tensors = new Map<string, NamedTensor>();
  const unreadable = new Map<string, string>();
  const leftOut: string[] = [];
  let found = 0;
  let fitting = 0;
  for (const [fileName, bare] of names.bare) {
    const tensor = state.tensors.get(fileName);
    const name = wanted.rename(bare.slice(prefix.length));
    const shape = bare.startsWith(prefix) ? wanted.shapes.get(name) : undefined;
    if (shape) {
      found++;
      if (tensor?.shape.join() === shape.join()) fitting++;
    } else if (!bare.startsWith(prefix) || isCounter(bare, tensor)) {
      if (!BATCH_COUNT.test(bare)) leftOut.push(fileName);
      continue;
    }
    if (tensor) tensors.set(name, { fileName, tensor });
    else if (shape) unreadable.set(name, state.unreadable.get(fileName)!);
    else leftOut.push(fileName);
  }
  const { stripped: strippedWrappers } = names;
  return { state, prefix, tensors, unreadable, leftOut, strippedWrappers, found, fitting };
}

/** Tells whether a tensor is no parameter but a count, which doesn't matter here. BatchNorm's counts are kept. */
function isCounter(name: string, tensor: TorchTensor | undefined): boolean {
  if (!tensor || BATCH_COUNT.test(name)) return false;
  const isSingle = tensor.shape.every((size) => size === 1);
  return isSingle && (COUNTER.test(name) || /int|bool/.test(tensor.dtype));
}

function takenNotes({ state: { key } }: View, rivals: readonly View[]): string[] {
  const others = [...new Set(rivals.map(({ state }) => state.key))].filter((other) => other !== key)
    .map(described);
  if (key === "" && others.length === 0) return [];
  const instead = others.length > 0 ? `, not ${list(others)}` : "";
  return [
    `${described(key)} is taken${AVERAGED.test(key) ? ", the averaged weights" : ""}${instead}`,
  ];
}

function described(key: string): string {
  return key === "" ? "the file's own tensors" : `its ${key}`;
}

function strippedNotes({ prefix, strippedWrappers }: View): string[] {
  const off = [...strippedWrappers.map((wrapper) => `${wrapper}.`), ...(prefix ? [prefix] : [])];
  return off.length > 0 ? [`taken off the names: ${off.join(", ")}`] : [];
}

function leftOutNotes({ leftOut }: View): string[] {
  return leftOut.length > 0 ? [`left out: ${list(leftOut)}`] : [];
}

function list(names: readonly string[]): string {
  return listed(names, { max: LISTED });
}
