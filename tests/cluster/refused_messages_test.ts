import assert from "node:assert/strict";
import { describeRefusals, tellOfRefusals } from "../../src/cluster/refused_messages.ts";
import type { Link } from "../../src/protocol/link.ts";

const NONE = { token: 0, version: 0, malformed: 0, corrupt: 0, workers: 0 };

Deno.test("describeRefusals() counts refused messages by reason; nothing where there were none", () => {
  assert.equal(describeRefusals(NONE), undefined);
  assert.equal(
    describeRefusals({ ...NONE, token: 3, corrupt: 1, workers: 2 }),
    "Refused messages of others on the run's subjects: 3 without the run's token, 1 that arrived damaged, " +
      "2 by the workers",
  );
});

Deno.test("tellOfRefusals() warns of each reason once", () => {
  let refuse: (reason: "token" | "version") => void = () => {};
  const link = {
    onRefused: (listener: typeof refuse) => refuse = listener,
    subjects: { runId: "r1" },
    server: "nats://127.0.0.1:4222",
  } as unknown as Link;
  const warnings: string[] = [];
  tellOfRefusals(link, (message) => warnings.push(message));
  (["token", "token", "version"] as const).forEach((reason) => refuse(reason));
  assert.equal(warnings.length, 2);
  const [first] = warnings;
  assert.match(
    first!,
    /^Messages without the run's token come in on the run's subjects \(lockstep\.r1\.>\)/,
  );
});
