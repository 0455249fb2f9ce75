import assert from "node:assert/strict";
import { join } from "node:path";
import { describeNoRun } from "../../src/records/not_a_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

Deno.test("describeNoRun() says what was named, and which run may be meant", () =>
  withTemporaryFolder(async (folder) => {
    const at = (...steps: string[]) => join(folder, ...steps);
    for (
      const path of ["empty", "bare", "one/a/checkpoints/last", "many/a/seed-1", "many/a/seed-0"]
    ) {
      await Deno.mkdir(at(path), { recursive: true });
    }
    for (
      const path of [
        ...["bare/comparison.json", "one/comparison.json", "one/a/config.yaml"],
        ...["many/comparison.json", "many/a/seed-0/config.yaml", "many/a/seed-1/config.yaml"],
      ]
    ) await Deno.writeTextFile(at(path), "{}");
    for (
      const [path, expected] of [
        ["none", "is missing"],
        ["one/comparison.json", "is a file, not a run folder"],
        ["empty", "is not a run folder, it has no config.yaml"],
        ["bare", "is a comparison, whose runs lie in it"],
        ["one", `is a comparison, whose runs lie in it, such as ${at("one/a")}`],
        ["many", `is a comparison, whose runs lie in it, such as ${at("many/a/seed-0")}`],
        ...["one/a/checkpoints", "one/a/checkpoints/last"].map((path) => [
          path,
          `is not a run folder, it has no config.yaml, but lies in the run ${at("one/a")}`,
        ]),
      ]
    ) assert.equal(await describeNoRun(at(path)), expected, path);
  }));
