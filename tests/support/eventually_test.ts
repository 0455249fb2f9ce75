import { equal, rejects } from "node:assert/strict";
import { eventually } from "./eventually.ts";

Deno.test("eventually() checks again until it holds", async () => {
  let checks = 0;
  await eventually(() => equal(++checks, 3));
  equal(checks, 3);
});

Deno.test("eventually() gives up with the last failure, and lets other errors through", async () => {
  let checks = 0;
  await rejects(
    eventually(() => equal(++checks, "a number"), { seconds: 0.1 }),
    (error: Error & { actual?: unknown }) => error.actual === checks && checks > 1,
  );
  let calls = 0;
  await rejects(
    eventually(() => {
      calls++;
      throw new TypeError("no page");
    }),
    /^TypeError: no page$/,
  );
  equal(calls, 1);
});
