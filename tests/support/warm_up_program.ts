/**
 * A program in the place of `workers/warm_up.ts`: its GPU's name says how long it takes, and whether it fails.
 *
 * @module
 */
import { delay } from "../../src/base/async.ts";

const { device: { name }, rows } = JSON.parse(await new Response(Deno.stdin.readable).text());
await delay(Number(/(\d+) ms/.exec(name)?.[1] ?? 0));
if (name.includes("fails")) {
  console.error(`no kernels for ${rows.train} + ${rows.val} images`);
  Deno.exit(1);
}
