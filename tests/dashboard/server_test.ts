import assert from "node:assert/strict";
import { join } from "node:path";
import { delay } from "../../src/base/async.ts";
import { setInvocation } from "../../src/base/invocation.ts";
import { UsageError } from "../../src/base/errors.ts";
import { Dashboard, type DashboardOptions } from "../../src/dashboard/server.ts";
import type { RunSummary } from "../../src/dashboard/run_list.ts";
import { EventLog } from "../../src/records/event_log.ts";
import { MetricsLog } from "../../src/records/metrics_log.ts";
import { eventually } from "../support/eventually.ts";
import { madeEpoch, madePoint, makeRun } from "../support/made_run.ts";
import { startProcess } from "../support/tiny_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** A dashboard of a folder with some runs, for one test. */
async function withDashboard(
  { withLosses = false, ...options }: Partial<DashboardOptions> & { withLosses?: boolean },
  use: (dashboard: Dashboard, runs: string) => Promise<void>,
): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    await makeRun(folder, "first", { end: "finished" });
    await makeRun(folder, "second", { end: "running", epochs: 3, losses: withLosses });
    await Deno.writeTextFile(join(folder, "secret.txt"), "not for you");
    await Deno.writeTextFile(join(folder, "first", "notes.txt"), "not for you");
    await using dashboard = new Dashboard({ folder, port: 0, pollMs: 20, ...options });
    await use(dashboard, folder);
  });
}

/** A raw request: `fetch` would mend the path and set the headers itself. */
async function raw(
  port: number,
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
): Promise<{ status: number; head: string; body: string }> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const all = { Host: `127.0.0.1:${port}`, Connection: "close", ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  await connection.write(
    new TextEncoder().encode(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`),
  );
  let text = "";
  for await (const piece of connection.readable.pipeThrough(new TextDecoderStream())) text += piece;
  const [head, ...body] = text.split("\r\n\r\n");
  return { status: Number(head.split(" ")[1]), head, body: body.join("\r\n\r\n") };
}

interface SeenMessage {
  readonly event: string;
  readonly id: string;
  readonly data: { run: string; data: unknown };
}

/** Reads a stream of events until `enough`. */
async function readEvents(
  url: string,
  enough: (seen: readonly SeenMessage[]) => boolean,
  headers: Record<string, string> = {},
): Promise<SeenMessage[]> {
  const abort = new AbortController();
  const response = await fetch(url, { headers, signal: abort.signal });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  const seen: SeenMessage[] = [];
  let text = "";
  try {
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
      const parts = (text + piece).split("\n\n");
      text = parts.pop()!;
      for (const part of parts) {
        const fields = Object.fromEntries(part.split("\n").map((line) => line.split(/: (.*)/s, 2)));
        if (fields.data) {
          seen.push({ event: fields.event, id: fields.id, data: JSON.parse(fields.data) });
        }
      }
      if (enough(seen)) return seen;
    }
    return seen;
  } finally {
    abort.abort();
  }
}

// deno-lint-ignore no-explicit-any -- what a page would get
const dataOf = (seen: readonly SeenMessage[], event: string, run = "second"): any[] =>
  seen.filter((each) => each.event === event && each.data.run === run)
    .flatMap((each) => each.data.data as unknown[]);

Deno.test("Dashboard shows a run whose name has blanks and letters of other scripts", () =>
  withDashboard({}, async ({ url }, runs) => {
    const id = "20261124-101112-My-photos-図";
    const path = join(await makeRun(runs, id, { end: "running" }), "config.yaml");
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, text.replace(/^name: .*$/m, "name: My photos 図"));
    const listed: RunSummary[] = await (await fetch(`${url}api/runs`)).json();
    assert.equal(listed.find((run) => run.id === id)?.name, "My photos 図");
    const page = await fetch(`${url}runs/${encodeURIComponent(id)}`);
    assert.equal(page.status, 200);
    assert.ok((await page.text()).includes("My photos 図"));
    const metrics = await (await fetch(`${url}metrics`)).text();
    assert.ok(metrics.includes(`run="${id}"`), metrics.slice(0, 500));
  }));

Deno.test("Dashboard lists runs with their state, best accuracy and epochs", () =>
  withDashboard({}, async ({ url }, runs) => {
    await makeRun(runs, "third", { end: "failed", message: "Rank 1 was killed", epochs: 1 });
    await makeRun(runs, "fourth", { end: "killed" });
    await Deno.mkdir(join(runs, "not-a-run"));
    await Deno.symlink("first", join(runs, "latest"));
    const listed = await (await fetch(`${url}api/runs`)).json();
    const short = listed.map((
      { id, state, epochs, best, message }: RunSummary,
    ) => [id, state, epochs, best?.accuracy, message]);
    assert.deepEqual(short, [
      ["third", "failed", 1, 0.5, "Rank 1 was killed"],
      ["second", "running", 3, 1 - 0.5 / 3, null],
      ["fourth", "lost", 2, 0.75, null],
      ["first", "finished", 2, 0.75, null],
    ]);
    assert.deepEqual(
      [listed[0].model, listed[0].workers, listed[0].ofEpochs, listed[0].seconds],
      ["plain_cnn", 2, 5, 3.5],
    );
    for (const path of ["", "runs", "runs/first", "compare?run=first&run=second"]) {
      const response = await fetch(url + path);
      assert.equal(response.status, 200, path);
      assert.match(await response.text(), /^\s*<!doctype html>/i);
    }
  }));

Deno.test("Dashboard sends what a run has, then what is new, and goes on from Last-Event-ID", () =>
  withDashboard({}, async ({ url }, runs) => {
    const address = `${url}api/events?run=second`;
    const first = await readEvents(address, (seen) => seen.some(({ event }) => event === "live"));
    assert.equal(dataOf(first, "metrics").length, 15);
    assert.deepEqual(dataOf(first, "events").map(({ type }) => type), [
      "started",
      "epoch",
      "epoch",
      "epoch",
    ]);
    assert.match(dataOf(first, "log")[0], /info Data: 40 training images$/);
    assert.equal(first.find(({ event }) => event === "live")!.data.run, "second");
    const id = first.at(-1)!.id;

    using metrics = await MetricsLog.open(join(runs, "second"), { epoch: 3, step: 10 });
    using events = new EventLog(join(runs, "second"));
    metrics.append(madePoint(4, 2));
    const second = await readEvents(
      address,
      (seen) => {
        // What comes while the stream is open.
        if (dataOf(seen, "metrics").length === 1) events.append("epoch", madeEpoch(4));
        return dataOf(seen, "events").length > 0;
      },
      { "Last-Event-ID": id },
    );
    assert.deepEqual(dataOf(second, "metrics").map(({ epoch, step }) => [epoch, step]), [[4, 2]]);
    assert.deepEqual(dataOf(second, "events").map(({ type, epoch }) => [type, epoch])[0], [
      "epoch",
      4,
    ]);
    assert.equal(dataOf(second, "log").length, 0);
  }));

Deno.test("Dashboard begins anew when a log was cut off: a resumed run makes steps again", () =>
  withDashboard({}, async ({ url }, runs) => {
    const address = `${url}api/events?run=second`;
    const first = await readEvents(address, (seen) => seen.some(({ event }) => event === "live"));
    const { id } = first.at(-1)!;
    using metrics = await MetricsLog.open(join(runs, "second"), { epoch: 2, step: 4 });
    metrics.append(madePoint(2, 6));
    const enough = (seen: readonly SeenMessage[]) => seen.some(({ event }) => event === "live");
    const second = await readEvents(address, enough, { "Last-Event-ID": id });
    assert.equal(second[0].event, "reset");
    const points = dataOf(second, "metrics").map(({ epoch, step }) => `${epoch}/${step}`);
    assert.deepEqual(points, ["1/2", "1/4", "1/6", "1/8", "1/10", "2/2", "2/4", "2/6"]);
    const odd = await readEvents(address, enough, { "Last-Event-ID": "1.2.3~4" });
    assert.equal(dataOf(odd, "metrics").length, 8, "an id of something else is none");
  }));

Deno.test("Dashboard sends several runs over one stream", () =>
  withDashboard({}, async ({ url }) => {
    const seen = await readEvents(
      `${url}api/events?run=first&run=second`,
      (all) => all.filter(({ event }) => event === "live").length === 2,
    );
    assert.equal(dataOf(seen, "metrics", "first").length, 10);
    assert.equal(dataOf(seen, "metrics", "second").length, 15);
    const again = await readEvents(
      `${url}api/events?run=first&run=second`,
      (all) => all.filter(({ event }) => event === "live").length === 2,
      { "Last-Event-ID": seen.at(-1)!.id },
    );
    assert.deepEqual(again.map(({ event }) => event), ["live", "live"]);
  }));

Deno.test("Dashboard sends the last news before it ends", () =>
  withTemporaryFolder(async (folder) => {
    const run = await makeRun(folder, "second", { end: "running" });
    const dashboard = new Dashboard({ folder, port: 0, pollMs: 5_000 });
    const seen = readEvents(`${dashboard.url}api/events?run=second`, () => false);
    while (dashboard.streams === 0) await delay(10);
    await delay(200);
    using events = new EventLog(run);
    events.append("finished", { seconds: 1 });
    await dashboard[Symbol.asyncDispose]();
    const all = await seen;
    assert.deepEqual(dataOf(all, "events").at(-1).type, "finished");
    assert.equal((all.at(-1)!.data.data as { state: string }).state, "finished");
  }));

Deno.test("Dashboard refuses foreign hosts and origins, methods and paths that lead elsewhere", () =>
  withDashboard({}, async ({ port }) => {
    const refused: [string, Record<string, string>, number][] = [
      ["/runs", { Host: "evil.example" }, 403],
      ["/runs", { Host: `evil.example:${port}` }, 403],
      ["/runs", { Host: `127.0.0.1.evil.example:${port}` }, 403],
      ["/runs", { Host: "" }, 403],
      ["/api/runs", { Origin: "http://evil.example" }, 403],
      ["/api/runs", { Origin: "null" }, 403],
      ["/api/events?run=first", { Origin: "http://localhost:1" }, 403],
      ["/api/runs", { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors" }, 403],
      ["/files/first/notes.txt", {}, 404],
      ["/files/first/config.yaml", {}, 404],
      ["/files/../secret.txt", {}, 404],
      ["/files/..%2fsecret.txt/batch.png", {}, 404],
      ["/files/first/..%2f..%2fsecret.txt", {}, 404],
      ["/files/%2e%2e/secret.txt", {}, 404],
      ["/runs/..", {}, 303],
      ["/runs/..%5csecret", {}, 404],
      ["/runs/%00", {}, 404],
      ["/runs/%zz", {}, 404],
      ["/runs/nobody", {}, 404],
      ["/../../etc/passwd", {}, 404],
      ["/api/events", {}, 404],
      ["/api/events?run=..", {}, 404],
      ["/api/events?run=first&run=../first", {}, 404],
    ];
    for (const [path, headers, expected] of refused) {
      const { status, body } = await raw(port, path, headers);
      assert.equal(status, expected, `${path} ${JSON.stringify(headers)}: ${status}`);
      assert.doesNotMatch(body, /not for you|root:/, path);
    }
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]) {
      assert.equal((await raw(port, "/api/runs", { Host: host })).status, 200, host);
    }
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      const { status, head } = await raw(port, "/runs/first", {}, method);
      assert.equal(status, 405, method);
      assert.match(head, /^allow: GET, HEAD$/im);
    }
  }));

Deno.test("Dashboard doesn't follow links out of a run folder", () =>
  withDashboard({}, async ({ port }, runs) => {
    await Deno.symlink(join(runs, "secret.txt"), join(runs, "first", "batch.png"));
    assert.equal((await raw(port, "/files/first/batch.png")).status, 404);
    await Deno.writeTextFile(join(runs, "second", "batch.png"), "picture");
    assert.equal((await raw(port, "/files/second/batch.png")).status, 200);
  }));

Deno.test("Dashboard forbids scripts but its own, framing, and guessing of types", () =>
  withDashboard({}, async ({ port }) => {
    for (
      const path of [
        "/runs",
        "/runs/first",
        "/compare?run=first",
        "/nowhere",
        "/api/runs",
        "/metrics",
      ]
    ) {
      const { head } = await raw(port, path);
      const policy = /^content-security-policy: (.*)$/im.exec(head)?.[1] ?? "";
      assert.match(policy, /default-src 'none'/, path);
      assert.match(policy, /frame-ancestors 'none'/, path);
      assert.doesNotMatch(policy, /unsafe|\*|https?:/, path);
      assert.match(head, /^x-content-type-options: nosniff$/im);
    }
  }));

Deno.test("Dashboard on another address asks for the token, and keeps it out of later addresses", () =>
  withTemporaryFolder(async (folder) => {
    await makeRun(folder, "first");
    await using dashboard = new Dashboard({ folder, port: 0, host: "0.0.0.0" });
    const { port, url } = dashboard;
    const token = new URL(url).searchParams.get("token")!;
    assert.match(token, /^[0-9a-f]{32}$/);
    const asked = async (path: string, headers = {}) => (await raw(port, path, headers)).status;
    assert.equal(await asked("/api/runs"), 401);
    assert.equal(await asked("/api/runs?token=" + "0".repeat(32)), 401);
    assert.equal(await asked("/metrics"), 401);
    assert.equal(await asked(`/metrics?token=${token}`), 200);
    assert.equal(await asked("/metrics", { Authorization: `Bearer ${token}` }), 200);
    assert.equal(
      await asked("/runs", { Host: `anything:${port}`, Cookie: `a=b; lockstep-${port}=${token}` }),
      200,
    );
    const browser = { Accept: "text/html,*/*" };
    const { status, head } = await raw(port, `/runs?token=${token}`, browser);
    assert.equal(status, 303);
    assert.match(head, /^location: \/runs$/im);
    assert.match(
      head,
      new RegExp(
        `^set-cookie: lockstep-${port}=${token}; HttpOnly; SameSite=Strict; Path=/$`,
        "im",
      ),
    );
    assert.equal(await asked("/runs", browser), 401);
  }));

Deno.test("Dashboard refuses more readers than it may have, and takes new ones when some have left", () =>
  withDashboard({ mostStreams: 2 }, async (dashboard) => {
    const address = `${dashboard.url}api/events?run=first`;
    const aborts = [new AbortController(), new AbortController()];
    for (const { signal } of aborts) assert.equal((await fetch(address, { signal })).status, 200);
    const third = await fetch(address);
    assert.equal(third.status, 503);
    assert.equal(third.headers.get("retry-after"), "5");
    await third.body?.cancel();
    for (const abort of aborts) abort.abort();
    await eventually(() => assert.equal(dashboard.streams, 0));
    const again = await fetch(address);
    assert.equal(again.status, 200);
    await again.body?.cancel();
  }));

Deno.test("Dashboard drops a reader that takes nothing, without piling up what waits for it", () =>
  withDashboard({ stallMs: 500 }, async (dashboard, runs) => {
    // More than the buffers of a connection hold.
    const line = JSON.stringify(madePoint(1, 2)) + "\n";
    await Deno.writeTextFile(join(runs, "first", "metrics.jsonl"), line.repeat(60_000));
    using connection = await Deno.connect({ hostname: "127.0.0.1", port: dashboard.port });
    const before = Deno.memoryUsage().rss;
    const request =
      `GET /api/events?run=first HTTP/1.1\r\nHost: 127.0.0.1:${dashboard.port}\r\n\r\n`;
    await connection.write(new TextEncoder().encode(request));
    await eventually(() => assert.equal(dashboard.streams, 1));
    await eventually(() => assert.equal(dashboard.streams, 0, "it is to be dropped"));
    const grown = Deno.memoryUsage().rss - before;
    assert.ok(grown < 60e6, `${(grown / 1e6).toFixed(0)} MB more`); // the file has 30 MB and more
    // A reader that does read gets all of it; with the usual limit, as a busy machine may keep it waiting.
    await using patient = new Dashboard({ folder: runs });
    const seen = await readEvents(
      `${patient.url}api/events?run=first`,
      (all) =>
        all.reduce(
          (sum, { event, data }) => sum + (event === "metrics" ? (data.data as []).length : 0),
          0,
        ) >= 60_000,
    );
    assert.equal(dataOf(seen, "metrics", "first").length, 60_000);
  }));

Deno.test("Dashboard takes the next free port, and refuses one that was asked for and is taken", () =>
  withTemporaryFolder(async (folder) => {
    await using first = new Dashboard({ folder });
    await using second = new Dashboard({ folder });
    assert.notEqual(first.port, second.port);
    const ways: [flags: Record<string, null> | undefined, how: string][] = [
      [undefined, "dashboard\\.port=PORT"],
      [{ dashboard: null, set: null }, "--dashboard PORT"],
      [{ port: null }, "--port PORT"],
      [{ set: null }, "--set dashboard\\.port=PORT"],
    ];
    for (const [flags, how] of ways) {
      setInvocation(flags && { command: "any", flags, args: [] });
      try {
        assert.throws(() => new Dashboard({ folder, port: first.port }), (error) => {
          assert.ok(error instanceof UsageError);
          assert.match(
            error.message,
            new RegExp(
              `^Port ${first.port} of 127\\.0\\.0\\.1 is taken: name another with ${how}, or`,
            ),
          );
          return true;
        });
      } finally {
        setInvocation(undefined);
      }
    }
  }));

Deno.test("Dashboard writes metrics of the runs that go on in Prometheus' format", () =>
  withDashboard({ withLosses: true }, async ({ url }) => {
    const response = await fetch(`${url}metrics`);
    assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    const text = await response.text();
    assert.doesNotMatch(text, /run="first"/, "it has finished");
    const samples = new Map<string, number>();
    const types = new Set<string>();
    for (const line of text.trimEnd().split("\n")) {
      const type = /^# TYPE (lockstep_[a-z_]+) gauge$/.exec(line)?.[1];
      if (type) types.add(type);
      else if (!line.startsWith("# HELP ")) {
        const [, name, labels, value] =
          /^([a-z_]+)\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)+)\} (\S+)$/.exec(line) ??
            assert.fail(`no sample: ${line}`);
        assert.ok(types.has(name), `${name} has a type`);
        samples.set(`${name}{${labels}}`, Number(value));
      }
    }
    assert.equal(samples.get('lockstep_train_loss{run="second"}'), 1.4 / 4);
    assert.equal(samples.get('lockstep_images_per_second{rank="1",run="second"}'), 60);
    assert.equal(samples.get('lockstep_step_seconds{part="forward_backward",run="second"}'), 0.025);
    assert.equal(samples.get('lockstep_step_seconds{part="exchange",run="second"}'), 0.003);
    assert.equal(samples.get('lockstep_epoch{run="second"}'), 3);
    assert.equal(samples.get('lockstep_workers{run="second"}'), 1);
    assert.equal(samples.get('lockstep_recoveries{run="second"}'), 2);
    assert.equal(samples.get('lockstep_recovery_seconds{run="second"}'), 7.75);
    assert.equal(samples.get('lockstep_validation_accuracy{run="second"}'), 1 - 0.5 / 3);
    assert.equal(
      samples.get('lockstep_resident_memory_bytes{process="worker",rank="0",run="second"}'),
      4e8,
    );
  }));

/** Opens a connection and sends some bytes. */
async function half(port: number, text: string): Promise<Deno.TcpConn> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(text));
  return connection;
}

Deno.test("Dashboard holds so many connections at most, ends those without a request, and answers all along", () =>
  withDashboard({ maxConnections: 20, requestMs: 1500 }, async (dashboard) => {
    const { port } = dashboard;
    const open: Deno.TcpConn[] = [];
    for (let index = 0; index < 200; index++) {
      open.push(await half(port, "GET /runs HTTP/1.1\r\nHo"));
    }
    assert.equal((await raw(port, "/api/runs")).status, 200, "the oldest ones make room");
    assert.ok(dashboard.connections <= 20, `${dashboard.connections} connections`);
    await eventually(() => assert.equal(dashboard.connections, 0));
    for (const connection of open) connection.close();
    const head = await half(port, `GET / HTTP/1.1\r\nX: ${"x".repeat(40_000)}\r\n\r\n`);
    const answer = new Uint8Array(100);
    const count = await head.read(answer).catch(() => 0);
    assert.doesNotMatch(new TextDecoder().decode(answer.subarray(0, count ?? 0)), / 200 /);
    head.close();
    assert.equal((await raw(port, "/api/runs")).status, 200);
  }));

Deno.test("Dashboard answers a malformed Host or target with 400", () =>
  withDashboard({}, async ({ port }) => {
    const hosts = [
      "a b",
      "[]:x",
      "[::1",
      "%%%",
      "127.0.0.1:99999",
      "localhost:port",
      "user@localhost",
      "\u00ff",
    ];
    for (const host of [...hosts, "127.0.0.1/x", "[gg::]"]) {
      assert.equal((await raw(port, "/runs", { Host: host })).status, 400, host);
    }
    for (
      const request of [
        "GET /runs HTTP/1.1\r\n",
        "GET /runs HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n",
        "garbage\r\n",
      ]
    ) {
      using connection = await half(port, `${request}\r\n`);
      const answer = new Uint8Array(100);
      const count = await connection.read(answer) ?? 0;
      assert.match(
        new TextDecoder().decode(answer.subarray(0, count)),
        /^HTTP\/1\.1 400 /,
        request,
      );
    }
    assert.equal((await raw(port, "//evil.example/runs")).status, 404);
  }));

Deno.test("Dashboard lists the other runs beside broken ones: pipes, folders, garbage, dangling links", () =>
  withDashboard({}, async ({ port }, runs) => {
    for (const name of ["pipes", "folders", "garbage", "links"]) {
      const run = await makeRun(runs, name, { end: "killed" });
      for (const file of ["events.jsonl", "live.json", "metrics.jsonl", "run.log", "report.html"]) {
        const path = join(run, file);
        await Deno.remove(path).catch(() => {});
        if (name === "pipes") await new Deno.Command("mkfifo", { args: [path] }).output();
        if (name === "folders") await Deno.mkdir(path);
        if (name === "garbage") await Deno.writeFile(path, new Uint8Array(5000).fill(0xfe));
        if (name === "links") await Deno.symlink(join(runs, "nowhere"), path);
      }
    }
    const pipe = join(runs, "no-config");
    await Deno.mkdir(pipe);
    await new Deno.Command("mkfifo", { args: [join(pipe, "config.yaml")] }).output();
    const { status, body } = await raw(port, "/api/runs");
    assert.equal(status, 200);
    const ids =
      (JSON.parse(body.slice(body.indexOf("["), body.lastIndexOf("]") + 1)) as RunSummary[])
        .map(({ id }) => id);
    assert.deepEqual(ids.sort(), ["first", "folders", "garbage", "links", "pipes", "second"]);
    for (
      const path of [
        "/runs",
        "/metrics",
        "/compare?run=pipes&run=first",
        "/runs/pipes",
        "/runs/garbage",
      ]
    ) {
      assert.equal((await raw(port, path)).status, 200, path);
    }
  }));

Deno.test("Dashboard answers again after file descriptors had run out", () =>
  withTemporaryFolder(async (folder) => {
    await makeRun(folder, "first");
    const cli = new URL("../../src/cli.ts", import.meta.url).pathname;
    const command =
      `ulimit -n 60; exec "$0" run -A --no-check '${cli}' dashboard --port 0 --runs '${folder}'`;
    await using dashboard = startProcess(["sh", "-c", command, Deno.execPath()], { cwd: folder });
    await dashboard.seen(/127\.0\.0\.1:\d+/);
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(dashboard.output())![1]);
    const open: Deno.TcpConn[] = [];
    for (let index = 0; index < 120; index++) {
      open.push(await half(port, "GET /runs HTTP/1.1\r\nHo"));
    }
    await delay(500);
    for (const connection of open) connection.close();
    await eventually(async () => {
      const answer = await raw(port, "/api/runs").catch(() => undefined);
      assert.equal(answer?.status, 200);
    });
    dashboard.kill("SIGTERM");
    assert.equal((await dashboard.result).code, 0);
  }));
