/**
 * Walks the table of cases: inputs that once went wrong, each with what must happen.
 *
 * Each area has a file beside this one that exports `CASES`; add it to `AREAS`. Inputs are in
 * `tests/fixtures/cases`, or made by the case where they are large.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Case } from "./case.ts";
import { CASES as batchnorm } from "./batchnorm.ts";
import { CASES as config } from "./config.ts";
import { CASES as costs } from "./costs.ts";
import { CASES as credentials } from "./credentials.ts";
import { CASES as data } from "./data.ts";
import { CASES as devices } from "./devices.ts";
import { CASES as finite } from "./finite.ts";
import { CASES as finiteCommands } from "./finite_commands.ts";
import { CASES as flags } from "./flags.ts";
import { CASES as history } from "./history.ts";
import { CASES as joining } from "./joining.ts";
import { CASES as nats } from "./nats.ts";
import { CASES as photos } from "./photos.ts";
import { CASES as secrets } from "./secrets.ts";
import { CASES as dataModules } from "./user_modules.ts";
import { CASES as pages } from "./pages.ts";
import { CASES as library } from "./library.ts";
import { CASES as resume } from "./resume.ts";
import { CASES as systemErrors } from "./system_errors.ts";
import { CASES as weights } from "./weights.ts";

const AREAS: Record<string, readonly Case[]> = {
  batchnorm,
  config,
  pages,
  resume,
  costs,
  credentials,
  data,
  devices,
  flags,
  history,
  joining,
  library,
  "data modules": dataModules,
  finite,
  "finite values in commands": finiteCommands,
  nats,
  photos,
  secrets,
  "system errors": systemErrors,
  weights,
};

Deno.test("cases have names of their own", () => {
  const names = Object.values(AREAS).flat().map(({ name }) => name);
  assert.deepEqual(names, [...new Set(names)]);
});

for (const [area, cases] of Object.entries(AREAS)) {
  for (const { name, must, run } of cases) {
    Deno.test(`${area}: ${name}: ${must}`, async () => await run());
  }
}
