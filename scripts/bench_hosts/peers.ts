/**
 * PyTorch's ranks on hosts in namespaces.
 *
 * @module
 */
import { type Hosts, INTERFACE } from "../../tests/support/namespaces.ts";

const PEER = new URL("../pytorch_ddp_peer.py", import.meta.url).pathname;
const PORT = "29500";

/**
 * Runs `pytorch_ddp_peer.py` on all hosts.
 *
 * @param python The Python that has torch and torchvision
 * @returns What rank 0 prints
 */
export async function runPeers(
  hosts: Hosts,
  ranks: readonly number[],
  python: string,
  args: readonly string[],
): Promise<Record<string, number>> {
  const worldSize = ranks.reduce((sum, count) => sum + count, 0);
  let rank = 0;
  const processes = ranks.flatMap((count, host) =>
    Array.from({ length: count }, (_, local) =>
      hosts.start(host, [python, PEER, ...args], {
        env: {
          ...{ OMP_NUM_THREADS: "1", RANK: String(rank++), LOCAL_RANK: String(local) },
          ...{ WORLD_SIZE: String(worldSize), MASTER_ADDR: hosts.hosts[0]!.address },
          ...{ MASTER_PORT: PORT, GLOO_SOCKET_IFNAME: INTERFACE },
        },
      }))
  );
  await using stack = new AsyncDisposableStack();
  for (const process of processes) stack.use(process);
  const results = await Promise.all(processes.map(({ result }) => result));
  const failed = results.find(({ code }) => code !== 0);
  if (failed) {
    throw new Error(`${PEER} ended with code ${failed.code}:\n${failed.stderr.slice(-2000)}`);
  }
  return JSON.parse(results[0]!.stdout.trim().split("\n").at(-1)!);
}
