/**
 * Process entry of one run of a comparison; started by `src/compare/member_process.ts`.
 *
 * @module
 */
import { runMember } from "../src/compare/member.ts";

Deno.exit(await runMember());
