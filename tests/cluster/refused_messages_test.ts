import assert from "node:assert/strict";
import { describeRefusals, tellOfRefusals } from "../../src/cluster/refused_messages.ts";
import { Subjects } from "../../src/protocol/subjects.ts";
import type { Link } from "../../src/protocol/link.ts";

const NONE = { unsigned: 0, replayed: 0, version: 0, malformed: 0, corrupt: 0, workers: 0 };

Deno.test("describeRefusals() counts refused messages by reason; nothing where there were none", () => {
  assert.equal(describeRefusals(NONE), undefined);
  assert.equal(
    describeRefusals({ ...NONE, unsigned: 3, corrupt: 1, workers: 2 }),
    "Refused messages of others on the run's subjects: 3 that aren't signed with the run's key, 1 that arrived damaged, " +
      "2 by the workers",
  );
});

Deno.test("tellOfRefusals() warns of each reason once", () => {
  let refuse: (reason: "unsigned" | "version") => void = () => {};
  const link = {
    onRefused: (listener: typeof refuse) => refuse = listener,
    subjects: new Subjects("r1"),
    server: "nats://127.0.0.1:4222",
  } as unknown as Link;
  const warnings: string[] = [];
  tellOfRefusals(link, (message) => warnings.push(message));
  (["unsigned", "unsigned", "version"] as const).forEach((reason) => refuse(reason));
  assert.equal(warnings.length, 2);
  const [first] = warnings;
  assert.match(
    first!,
    /^Messages that aren't signed with the run's key come in on the run's subjects \(lockstep\.r1\.>\)/,
  );
});
