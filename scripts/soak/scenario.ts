/**
 * The faults of the N-th run of the soak test, drawn from the seed and N alone.
 *
 * @module
 */
import { randomInt, type RandomStream, randomStream } from "../../src/base/random.ts";
import { type Fault, FAULT_KINDS, type FaultKind } from "./faults.ts";
import { EPOCHS, type Recipe, RECIPES } from "./recipes.ts";

/** The time of a fault. */
export type Moment =
  /** So long after the start of the process. */
  | { readonly after: "start"; readonly ms: number }
  /** So long after the process has completed so many epochs; with 0, after its workers have joined. */
  | { readonly after: "epochs"; readonly epochs: number; readonly ms: number };

/** A fault and its time. */
export interface TimedFault extends Fault {
  readonly moment: Moment;
}

/** One run of the soak test: rounds that are disturbed, the first of which begins the run, and each later one resumes it. */
export interface Scenario {
  readonly index: number;
  readonly recipe: Recipe;
  readonly rounds: readonly (readonly TimedFault[])[];
  /** The way on when a worker is lost. */
  readonly policy: "restart" | "shrink";
  /** The run folder is on a small disk of its own. */
  readonly needsDisk: boolean;
}

/** Limits of what is drawn. */
export interface ScenarioLimits {
  /** Number of recipes that are used, from the first one on. */
  readonly recipes?: number;
  /** False where no file system can be mounted. */
  readonly hasDisks?: boolean;
}

/** Draws the scenario of a run. */
export function drawScenario(
  seed: number,
  index: number,
  { recipes = RECIPES.length, hasDisks = true }: ScenarioLimits = {},
): Scenario {
  const random = randomStream("soak", seed, index);
  const recipe = RECIPES[randomInt(random, Math.min(recipes, RECIPES.length))];
  const policy = recipe.workers > 1 && random() < 0.15 ? "shrink" : "restart";
  const kinds = FAULT_KINDS.filter(({ fits, needsDisk }) =>
    (fits?.(recipe) ?? true) && (hasDisks || !needsDisk)
  );
  const chosen: FaultKind[] = [];
  const rounds = Array.from({ length: random() < 0.75 ? 1 : 2 }, () => {
    const count = random() < 0.8 ? 1 : 2;
    return Array.from({ length: count }, () => {
      const kind = drawKind(random, kinds);
      chosen.push(kind);
      return { kind: kind.name, ...kind.draw(random, recipe), moment: drawMoment(random) };
    });
  });
  return { index, recipe, rounds, policy, needsDisk: chosen.some(({ needsDisk }) => needsDisk) };
}

/** Draws a scenario in which one long run's process group is killed again and again. */
export function drawKills(seed: number, kills: number): Scenario {
  const random = randomStream("soak kills", seed);
  const kind = FAULT_KINDS.find(({ name }) => name === "process group killed")!;
  const [shortest] = RECIPES;
  const recipe = { ...shortest, train: { ...shortest.train, epochs: 3 * kills } };
  const rounds = Array.from({ length: kills }, () => {
    const moment: Moment = random() < 0.3
      ? { after: "start", ms: randomInt(random, 2_500) }
      : { after: "epochs", epochs: randomInt(random, 2), ms: randomInt(random, 150) };
    return [{ kind: kind.name, ...kind.draw(random, recipe), moment }];
  });
  return { index: 0, recipe, rounds, policy: "restart", needsDisk: false };
}

function drawKind(random: RandomStream, kinds: readonly FaultKind[]): FaultKind {
  const sum = kinds.reduce((total, { weight }) => total + weight, 0);
  let rest = random() * sum;
  return kinds.find(({ weight }) => (rest -= weight) < 0) ?? kinds[0];
}

function drawMoment(random: RandomStream): Moment {
  const kind = random();
  if (kind < 0.15) return { after: "start", ms: randomInt(random, 2_500) };
  const epochs = kind < 0.2 ? EPOCHS : randomInt(random, EPOCHS);
  return { after: "epochs", epochs, ms: randomInt(random, 250) };
}

/** Describes the time of a fault. */
export function describeMoment(moment: Moment): string {
  if (moment.after === "start") return `${moment.ms} ms after the start`;
  return `epoch ${moment.epochs} + ${moment.ms} ms`;
}

/** Describes what is done in a scenario. */
export function describeScenario({ recipe, rounds, policy }: Scenario): string {
  const parts = rounds.map((faults) =>
    faults.map(({ kind, env, moment }) =>
      env ? `${kind} ${Object.values(env).join()}` : `${kind} at ${describeMoment(moment)}`
    ).join(" and ")
  );
  return `${recipe.name}${policy === "shrink" ? ", shrink" : ""}: ${parts.join(", then ")}`;
}
