/**
 * The place of a rank in the steps, as the other processes see it, and what they report when nobody gets on.
 *
 * @module
 */
import type { StepKey } from "../base/step_key.ts";
import type { StepPhase } from "../protocol/step_phases.ts";

/** The last step that a rank has entered, and the part of it. */
export interface RankPlace extends StepKey {
  readonly phase: StepPhase;
  /** Ends of phases that the rank has arrived at, where ranks count them: who waits is behind nobody. */
  readonly arrivals?: number | undefined;
}

/** A rank that is reported. */
export interface ReportedRank extends RankPlace {
  readonly rank: number;
  /** Its name at the start of a sentence, such as `Rank 3 (pid 17 on host)`. */
  readonly name: string;
  /** Milliseconds since it came to its place. */
  readonly stillMs: number;
  /** Sample that its data module is making; null when it makes none. */
  readonly sample?: number | null;
  /** Milliseconds since its last heartbeat. */
  readonly silentMs?: number;
}

/** Milliseconds without a heartbeat after which a rank is said to send none. */
const SILENT_MS = 3_000;
/** Ranks that are described one by one. */
const DESCRIBED = 4;

/** Tells whether a rank waits for other processes. */
export function isWaiting({ phase }: Pick<RankPlace, "phase">): boolean {
  return phase === "waiting for the other ranks" || phase === "waiting for the coordinator";
}

/** Describes who is where, as a sentence, when no rank has got on for some time. */
export function describeStandstill(ranks: readonly ReportedRank[]): string {
  const most = Math.max(...ranks.map(({ arrivals = 0 }) => arrivals));
  const isHeldUp = (rank: ReportedRank) =>
    isWaiting(rank) && (rank.arrivals ?? most) === most &&
    (rank.silentMs ?? 0) < SILENT_MS;
  const heldUp = ranks.filter(isHeldUp);
  const others = ranks.filter((rank) => !isHeldUp(rank));
  if (others.length === 0) return describeMutualWait(ranks);
  const sentences = others.slice(0, DESCRIBED).map(describeRank);
  if (others.length > DESCRIBED) {
    const more = others.slice(DESCRIBED).map(({ rank }) => rank);
    sentences.push(`neither ${more.length === 1 ? "has" : "have"} ${namesOf(more)}`);
  }
  if (heldUp.length === 0) return sentences.join("; ");
  const whom = others.length === 1 ? "it" : "them";
  return [...sentences, `${describeWait(heldUp)} for ${whom}${placesOf(heldUp)}`].join("; ");
}

/** Describes what a rank does that others wait for. */
function describeRank(rank: ReportedRank): string {
  const { name, phase, epoch, step, stillMs, sample = null, silentMs = 0 } = rank;
  const still = `${name} has made no progress for ${seconds(stillMs)} s`;
  const isSilent = silentMs >= SILENT_MS;
  const what = `${phase === "none" ? "preparing" : phase} in epoch ${epoch}, step ${step}`;
  const making = sample === null ? "" : `, and its data module is making sample ${sample}`;
  if (!isSilent) return `${still}: it is ${what}${making}`;
  return `${still}: it was ${what}${making}, and has sent no heartbeat for ${seconds(silentMs)} s`;
}

/** Nobody is at work: all wait for the coordinator, or for an exchange that gives no sum. */
function describeMutualWait(ranks: readonly ReportedRank[]): string {
  const still = seconds(Math.min(...ranks.map(({ stillMs }) => stillMs)));
  const whom = ranks.every(({ phase }) => phase === "waiting for the coordinator")
    ? "for the coordinator"
    : ranks.length === 1
    ? "in the exchange"
    : "for each other in the exchange";
  const sentence = `${describeWait(ranks)} ${whom}${placesOf(ranks)}, for ${still} s`;
  return sentence[0]!.toUpperCase() + sentence.slice(1);
}

function describeWait(ranks: readonly ReportedRank[]): string {
  const names = namesOf(ranks.map(({ rank }) => rank));
  return `${names} ${ranks.length === 1 ? "waits" : "wait"}`;
}

/** The place of all ranks, or of each where they differ. */
function placesOf(ranks: readonly ReportedRank[]): string {
  const byPlace = new Map<string, number[]>();
  for (const { rank, epoch, step } of ranks) {
    const place = `in epoch ${epoch}, step ${step}`;
    byPlace.set(place, [...byPlace.get(place) ?? [], rank]);
  }
  if (byPlace.size === 1) return ` ${[...byPlace.keys()][0]}`;
  const each = [...byPlace].map(([place, ranks]) => `${namesOf(ranks)} ${place}`);
  return ` (${each.join(", ")})`;
}

/** Names of ranks, such as `ranks 0, 1 and 2`. */
function namesOf(ranks: readonly number[]): string {
  const last = ranks.at(-1);
  return ranks.length === 1 ? `rank ${last}` : `ranks ${ranks.slice(0, -1).join(", ")} and ${last}`;
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds / 1000);
}
