/**
 * Tries to reach the data servers of other hosts.
 *
 * @module
 */
import type { ReachableServer, Reached } from "./host_calls.ts";
import { probeServer } from "./probe.ts";

/**
 * Tries each server at all of its addresses.
 *
 * @param request.nkey Seed of the nkey of the ranks
 * @returns In the order of the servers: the address at which it answers first, or the problem
 */
export async function probeServers(
  { nkey, servers }: { readonly nkey: string; readonly servers: readonly ReachableServer[] },
): Promise<Reached[]> {
  const credentials = { nkey };
  return await Promise.all(
    servers.map(({ name: _, ...server }) => probeServer({ ...server, credentials })),
  );
}
