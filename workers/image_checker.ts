/**
 * Process entry of a checker of images; started by `deno task data check`, see
 * `src/data_check/checker_process.ts`.
 *
 * @module
 */
import { runChecker } from "../src/data_check/checker.ts";

Deno.exit(await runChecker());
