import assert from "node:assert/strict";
import {
  type Course,
  coursesOf,
  type LevelOptions,
  levelTable,
  measureLevels,
  tolerancesFor,
} from "../../scripts/soak/levels.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

async function measured(options: LevelOptions): Promise<readonly Course[]> {
  let courses: readonly Course[] = [];
  await withTemporaryFolder(async (folder) => {
    courses = (await measureLevels(folder, options)).courses;
  });
  return courses;
}

/** A leak of 8 kB and, now and then, of an open file per sample. */
const LEAK = `
  kept.push(new Uint8Array(8000).fill(1));
  if (index % 20 === 0) kept.push(Deno.openSync(new URL(import.meta.url)))`;

Deno.test("memory, open files and threads of every process stay level over steps and epochs; an injected leak is found", async () => {
  const [steps, epochs, leaking] = await Promise.all([
    measured({ kind: "steps", count: 2000, exchange: "nats" }),
    measured({ kind: "epochs", count: 80, exchange: "shared-memory" }),
    measured({ kind: "steps", count: 1200, exchange: "shared-memory", leak: LEAK }),
  ]);
  for (const courses of [steps, epochs]) {
    assert.deepEqual(
      [...new Set(courses.map(({ process }) => process))].sort(),
      ["coordinator", "server", "worker 0", "worker 1"],
    );
    assert.ok(courses.every(({ isLevel }) => isLevel), levelTable(courses).join("\n"));
    assert.ok(courses.every(({ level }) => level > 0), levelTable(courses).join("\n"));
  }
  const grown = leaking.filter(({ isLevel }) => !isLevel)
    .map(({ process, quantity }) => `${process} ${quantity}`).sort();
  assert.deepEqual(
    grown,
    ["worker 0 files", "worker 0 residentKib", "worker 1 files", "worker 1 residentKib"],
    levelTable(leaking).join("\n"),
  );
});

const TOLERANCES = tolerancesFor({ steps: 2000, epochs: 40 });

/** Measurements of one process, whose memory and files are functions of the share of the run that is over. */
function courses(memory: (share: number) => number, files: (share: number) => number): Course[] {
  const samples = Array.from({ length: 101 }, (_, index) => ({
    seconds: index,
    sizes: [{ pid: 7, residentKib: memory(index / 100), files: files(index / 100), threads: 9 }],
  }));
  return coursesOf(samples, new Map([[7, "worker"]]), TOLERANCES);
}

Deno.test("coursesOf() takes a sawtooth and a warm-up for level, and a slope or a slow growth of files not", () => {
  const grown = (...course: Parameters<typeof courses>) =>
    courses(...course).filter(({ isLevel }) => !isLevel).map(({ quantity }) => quantity);
  const MIB = 1024;
  const saw = (share: number) => 400 * MIB + 30 * MIB * ((10 * share) % 1);
  assert.deepEqual(grown(saw, () => 30), []);
  assert.deepEqual(grown((share) => saw(share) + 12 * MIB * share, () => 30), ["residentKib"]);
  assert.deepEqual(grown((share) => 500 * MIB * Math.min(share, 0.3), () => 30), []);
  assert.deepEqual(grown(saw, (share) => 30 + Math.floor(10 * share)), ["files"]);
  assert.deepEqual(grown(saw, (share) => 30 + (share > 0.9 ? 20 : 0)), []); // a few files for a moment
  assert.throws(() => coursesOf([], new Map(), TOLERANCES), /too few/);
});
