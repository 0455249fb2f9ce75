/**
 * Process entry of the painter of `data-check.png`; started by `deno task data check`, see
 * `src/data_check/data_check_painter.ts`.
 *
 * @module
 */
import { runPainter } from "../src/data_check/data_check_painter.ts";

Deno.exit(await runPainter());
