/**
 * `deno task soak`: many short trainings with random faults, each of which must end with the bits of an undisturbed
 * one, and leave nothing behind.
 *
 * @module
 */
import { EXIT_FAILED, EXIT_USAGE, exitCodeOf, messageOf, UsageError } from "../src/base/errors.ts";
import { exitCleanly, stopRequested, takeStopRequests } from "../src/base/signals.ts";
import { type CommandHelp, HELP_FLAG, helpText, parseFlags } from "../src/commands/flags.ts";
import { RECIPES } from "./soak/recipes.ts";
import { type LevelOptions, levelTable, measureLevels } from "./soak/levels.ts";
import { describeScenario, drawKills, drawScenario, type ScenarioLimits } from "./soak/scenario.ts";
import { type FaultResult, SoakStand } from "./soak/soak_run.ts";
import { faultTable, runLine } from "./soak/table.ts";
import { mountSmallDisk } from "../tests/support/small_disk.ts";

const COMMAND: CommandHelp = {
  name: "soak",
  summary:
    "Train again and again with random faults. After each run its result must have the bits of an " +
    "undisturbed one, and no process, shared memory, temporary file, port or lock may be left",
  flags: [
    { name: "minutes", value: "N", help: "How long new runs are begun (default: 2)" },
    { name: "seed", value: "N", help: "What the faults are drawn from (default: 1)" },
    { name: "only", value: "N", help: "Do run N of the seed alone, as a failure names it" },
    { name: "jobs", value: "N", help: "Runs at a time (default: 1)" },
    { name: "recipes", value: "N", help: "Use the first N recipes only (default: all)" },
    {
      name: "kills",
      value: "N",
      help:
        "Instead: kill all processes of one run N times at random moments, and resume it each time",
    },
    {
      name: "level",
      value: "KIND",
      help:
        'Instead: train for many "steps" or "epochs", and check that memory, open files and threads of ' +
        "every process stay level",
    },
    { name: "count", value: "N", help: "Steps or epochs of --level (default: 2000 or 1000)" },
    HELP_FLAG,
  ],
  examples: ["deno task soak --minutes 30 --seed 1 --jobs 2"],
};

/** Options of the command line. */
interface Options extends ScenarioLimits {
  readonly minutes: number;
  readonly seed: number;
  readonly only: number | undefined;
  readonly jobs: number;
  readonly kills: number | undefined;
}

/** Runs scenarios until the time is over; returns the exit code. */
async function soak(stand: SoakStand, options: Options): Promise<number> {
  const start = performance.now();
  const results: FaultResult[] = [];
  const { kills, seed } = options;
  const [first, last] = kills === undefined ? [options.only ?? 0, options.only] : [0, 0];
  let [next, done, failed] = [first, 0, false];
  const isOver = () =>
    failed || stopRequested() !== undefined ||
    (last === undefined ? performance.now() - start > 60_000 * options.minutes : next > last);
  const work = async () => {
    while (!isOver()) {
      const index = next++;
      const scenario = kills === undefined
        ? drawScenario(seed, index, options)
        : drawKills(seed, kills);
      try {
        const result = await stand.run(scenario);
        results.push(...result.faults);
        done++;
        console.log(runLine(scenario, result));
      } catch (error) {
        failed = true;
        console.log(
          `#${scenario.index} ${describeScenario(scenario)} | FAILED\n${messageOf(error)}\n` +
            `To repeat it: deno task soak --seed ${seed} ` +
            `${kills === undefined ? `--only ${index}` : `--kills ${kills}`}` +
            `${options.recipes === RECIPES.length ? "" : ` --recipes ${options.recipes}`}\n` +
            `Its files: ${stand.folder}/run-${scenario.index}`,
        );
      }
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
  const minutes = ((performance.now() - start) / 60_000).toFixed(1);
  console.log(`\n${faultTable(results).join("\n")}\n`);
  console.log(
    `${done} runs with ${
      results.filter(({ applied }) => applied).length
    } faults in ${minutes} minutes` +
      `${failed ? "; the soak test FAILED" : ", each with the bits of an undisturbed one"}`,
  );
  return failed ? EXIT_FAILED : 0;
}

async function hasDisks(folder: string): Promise<boolean> {
  await using disk = await mountSmallDisk(folder, 1);
  return disk !== undefined;
}

/** Checks over both exchanges that processes stay level; returns the exit code. */
async function checkLevels(kind: string, count?: number): Promise<number> {
  if (kind !== "steps" && kind !== "epochs") {
    throw new UsageError(`--level is ${kind}: give steps or epochs`);
  }
  let isLevel = true;
  for (const exchange of ["shared-memory", "nats"] as const) {
    const folder = await Deno.makeTempDir({ prefix: "lockstep-level-" });
    const options: LevelOptions = {
      kind,
      exchange,
      count: count ?? (kind === "steps" ? 2000 : 1000),
    };
    const { courses, steps, epochs, seconds } = await measureLevels(folder, options);
    console.log(
      `${exchange}: ${steps} steps in ${epochs} epochs, ${
        Math.round(seconds)
      } s; level and growth\n`,
    );
    console.log(`${levelTable(courses).join("\n")}\n`);
    isLevel &&= courses.every((course) => course.isLevel);
    await Deno.remove(folder, { recursive: true });
  }
  console.log(isLevel ? "All processes stay level" : "A process grows");
  return isLevel ? 0 : EXIT_FAILED;
}

async function main(args: string[]): Promise<number> {
  const flags = parseFlags(COMMAND, args);
  if (flags.on("help")) {
    console.log(helpText(COMMAND));
    return 0;
  }
  const options: Options = {
    minutes: flags.integer("minutes", 1) ?? 2,
    seed: flags.integer("seed", 0) ?? 1,
    only: flags.integer("only", 0),
    jobs: flags.integer("jobs", 1) ?? 1,
    kills: flags.integer("kills", 1),
    recipes: flags.integer("recipes", 1) ?? RECIPES.length,
  };
  const level = flags.text("level");
  if (level !== undefined) return await checkLevels(level, flags.integer("count", 1));
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "lockstep-soak-" }));
  const disks = { hasDisks: await hasDisks(folder) };
  const code = await soak(await SoakStand.make(folder), { ...options, ...disks });
  if (code === 0) await Deno.remove(folder, { recursive: true });
  return code;
}

if (import.meta.main) {
  takeStopRequests(() => {});
  try {
    const code = await main(Deno.args);
    exitCleanly(stopRequested() ? exitCodeOf(stopRequested()!) : code);
  } catch (error) {
    console.error(`error: ${messageOf(error)}`);
    exitCleanly(error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED);
  }
}
