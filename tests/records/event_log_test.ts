import assert from "node:assert/strict";
import { join } from "node:path";
import { EventLog } from "../../src/records/event_log.ts";

Deno.test("EventLog appends one JSON object per line, also after it was opened again", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const start = Date.now();
    {
      using log = new EventLog(folder);
      log.append("run-started", { workers: 2 });
      log.append("warning", { text: 'line\nbreak "quoted" ü' });
    }
    const again = new EventLog(folder);
    again.append("resumed");
    again.close();
    again.close();
    again.append("too late");
    const lines = (await Deno.readTextFile(join(folder, "events.jsonl"))).split("\n");
    assert.equal(lines.pop(), "");
    const events = lines.map((line) => JSON.parse(line));
    assert.deepEqual(events.map(({ time: _time, ...rest }) => rest), [
      { type: "run-started", workers: 2 },
      { type: "warning", text: 'line\nbreak "quoted" ü' },
      { type: "resumed" },
    ]);
    for (const { time } of events) {
      assert.ok(Date.parse(time) >= start && Date.parse(time) <= Date.now(), time);
      assert.match(time, /^\d{4}-\d\d-\d\dT.*Z$/);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
