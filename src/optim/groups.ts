/**
 * Groups of parameters with settings of their own.
 *
 * @module
 */
import { listed } from "../base/listing.ts";
import { UsageError } from "../base/errors.ts";
import type { FloatRange } from "../base/float_range.ts";
import { globTest, unmatchedPatterns } from "../base/glob.ts";
import type { GroupConfig } from "./config.ts";

/** A group with its parameters. */
export interface Group {
  readonly lr: number;
  readonly weightDecay: number;
  /** Positions in the list of parameters. */
  readonly members: readonly number[];
}

/** A range of the flat vector whose parameters belong to one group. */
export interface GroupRun extends FloatRange {
  readonly group: number;
}

/**
 * Puts each parameter into the first group that fits, or into the default group, which is the first of the
 * result.
 *
 * @throws {UsageError} when a pattern matches no parameter, or a group gets none
 */
export function groupsOf(
  names: readonly string[],
  defaults: { lr: number; weightDecay: number },
  configs: readonly GroupConfig[],
): Group[] {
  const tests = configs.map(({ match }) => match.map(globTest));
  const groupOf = names.map((name) => tests.findIndex((group) => group.some((test) => test(name))));
  const membersOf = (group: number) =>
    [...names.keys()].filter((index) => groupOf[index] === group);
  configs.forEach(({ match }, group) => {
    const [unmatched] = unmatchedPatterns(match, names);
    const taken = membersOf(group).length === 0;
    if (unmatched === undefined && !taken) return;
    const problem = unmatched === undefined
      ? "takes no parameter that an earlier group has left"
      : `has the pattern "${unmatched}", which matches no parameter that learns`;
    throw new UsageError(
      `train.groups[${group}] ${problem}: mend or remove it. Parameters that learn: ${
        shown(names)
      }`,
    );
  });
  return [{ ...defaults, members: membersOf(-1) }].concat(configs.map((config, group) => ({
    lr: config.lr ?? defaults.lr,
    weightDecay: config.weightDecay ?? defaults.weightDecay,
    members: membersOf(group),
  })));
}

/**
 * The longest ranges of one group each, in order.
 *
 * @param places The range of each parameter, in order
 * @param end The end of the last range, with its padding
 */
export function runsOf(
  groups: readonly Group[],
  places: readonly FloatRange[],
  end: number,
): GroupRun[] {
  const groupOf = new Map(
    groups.flatMap(({ members }, group) => members.map((member) => [member, group] as const)),
  );
  const runs: GroupRun[] = [];
  places.forEach(({ begin }, index) => {
    const group = groupOf.get(index)!;
    const next = places[index + 1]?.begin ?? end;
    const last = runs.at(-1);
    if (last?.group === group) runs[runs.length - 1] = { ...last, end: next };
    else runs.push({ group, begin, end: next });
  });
  return runs;
}

const SHOWN = 6;

function shown(names: readonly string[]): string {
  return listed(names, { max: SHOWN });
}
