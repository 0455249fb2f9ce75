import assert from "node:assert/strict";
import { groupsOf, runsOf } from "../../src/optim/groups.ts";

const NAMES = ["conv.weight", "conv.bias", "fc.weight", "fc.bias"];
const DEFAULTS = { lr: 0.1, weightDecay: 0.01 };

Deno.test("groupsOf() puts each parameter into the first group that fits, the rest into the default one", () => {
  const groups = groupsOf(NAMES, DEFAULTS, [
    { match: ["*.bias"], weightDecay: 0 },
    { match: ["fc.*"], lr: 1 },
  ]);
  assert.deepEqual(groups, [
    { lr: 0.1, weightDecay: 0.01, members: [0] },
    { lr: 0.1, weightDecay: 0, members: [1, 3] },
    { lr: 1, weightDecay: 0.01, members: [2] },
  ]);
});

Deno.test("groupsOf() refuses a pattern that fits nothing, and a group that gets nothing", () => {
  assert.throws(
    () => groupsOf(NAMES, DEFAULTS, [{ match: ["head.*"] }]),
    /train\.groups\[0\] has the pattern "head\.\*", which matches no parameter/,
  );
  assert.throws(
    () => groupsOf(NAMES, DEFAULTS, [{ match: ["*"] }, { match: ["fc.*"] }]),
    /train\.groups\[1\] takes no parameter that an earlier group has left/,
  );
});

Deno.test("runsOf() joins neighbours of one group, with their padding", () => {
  const groups = groupsOf(NAMES, DEFAULTS, [{ match: ["fc.*"] }]);
  const places = [{ begin: 0, end: 6 }, { begin: 8, end: 9 }, { begin: 12, end: 20 }, {
    begin: 20,
    end: 21,
  }];
  assert.deepEqual(runsOf(groups, places, 24), [
    { group: 0, begin: 0, end: 12 },
    { group: 1, begin: 12, end: 24 },
  ]);
});
