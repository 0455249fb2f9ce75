/**
 * Ranks that agree on NCCL in one process: prints each rank's outcome as JSON.
 *
 * @module
 */
import { messageOf } from "../../src/base/errors.ts";
import { HostsBoard } from "../../src/exchange/hosts_board.ts";
import { boardBytes, NoticeBoard, type Notices } from "../../src/exchange/notice_board.ts";
import { openNccl } from "../../src/exchange/open_nccl.ts";
import { fakeNcclDevice } from "../support/fake_cuda/rank_device.ts";
import { LocalHosts } from "../support/local_hosts.ts";

const [nvidia, devices, without = "", hosts = "", limits = "{}"] = Deno.args as [
  string,
  string,
  ...string[],
];
const all = devices.split(",");
const worldSize = all.length;
/** Number of the ranks of each host. */
const counts = hosts === "" ? [worldSize] : hosts.split(",").map(Number);
const links = new LocalHosts(counts);
const boards = counts.flatMap((count, host): Notices[] => {
  const board = new Uint8Array(boardBytes(count));
  return links.linksOf(host).map((link, rank) => {
    const own = new NoticeBoard(board, rank, count);
    return hosts === "" ? own : new HostsBoard(own, link);
  });
});
const floats = 400_000;

const outcomes = all.map(async (device, rank) => {
  const begun = performance.now();
  if (without === String(rank)) return { rank, outcome: "absent", ms: 0 };
  const outcome = await openNccl({
    ...{ rank, worldSize },
    vectorBytes: 4 * floats,
    gradientFloats: floats - 10,
    device: device === "cpu" ? undefined : fakeNcclDevice(Number(device), nvidia),
    board: boards[rank]!,
    limits: { rankMs: 60_000, joinMs: 60_000, trialMs: 60_000, ...JSON.parse(limits) },
  }).then(
    (result) => "parts" in result ? "nccl" : result.reason ?? "nothing to say",
    (error) => `error: ${messageOf(error)}`,
  );
  return { rank, outcome, ms: Math.round(performance.now() - begun) };
});
console.log(JSON.stringify(await Promise.all(outcomes)));
