import assert from "node:assert/strict";
import { Guard, isLoopback } from "../../src/dashboard/guard.ts";

/** The status of the answer to a request; 200 where it may pass. */
function status(
  guard: Guard,
  headers: Record<string, string>,
  { method = "GET", query = "" } = {},
): number {
  const url = new URL(`http://127.0.0.1:8080/${query}`);
  const request = { method, headers: new Headers({ host: "127.0.0.1:8080", ...headers }) };
  return guard.check(request, url)?.status ?? 200;
}

Deno.test("isLoopback() knows the addresses of this machine", () => {
  for (const host of ["localhost", "127.0.0.1", "127.9.9.9", "::1"]) {
    assert.equal(isLoopback(host), true, host);
  }
  for (const host of ["0.0.0.0", "10.0.0.1", "127.0.0.1.example", "::"]) {
    assert.equal(isLoopback(host), false, host);
  }
});

Deno.test("Guard without a token answers to this machine's names, and to no other site", () => {
  const guard = new Guard({});
  assert.equal(status(guard, {}), 200);
  assert.equal(status(guard, { host: "localhost:8080" }), 200);
  assert.equal(status(guard, { host: "evil.example" }), 403);
  assert.equal(status(guard, { origin: "http://evil.example" }), 403);
  assert.equal(status(guard, { "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors" }), 403);
  assert.equal(status(guard, {}, { method: "POST" }), 405);
});

Deno.test("Guard with a token takes it from address, cookie or header, and turns the address into a cookie", () => {
  const guard = new Guard({ token: "secret" });
  assert.equal(status(guard, {}), 401);
  assert.equal(status(guard, { authorization: "Bearer secret" }), 200);
  assert.equal(status(guard, { authorization: "Bearer secre" }), 401);
  assert.equal(status(guard, { cookie: "a=b; lockstep-8080=secret" }), 200);
  assert.equal(status(guard, { cookie: "lockstep-9090=secret" }), 401);
  assert.equal(status(guard, {}, { query: "?token=secret" }), 200, "a program");
  assert.equal(status(guard, { accept: "text/html" }, { query: "?token=secret" }), 303);
  assert.equal(status(guard, { accept: "text/html" }, { query: "?token=wrong" }), 401);
});
