/**
 * The other hosts of a run, as its cluster needs them.
 *
 * @module
 */
import type { HostsOptions } from "../../hosts/host_network.ts";
import { makeCertificate } from "../../hosts/own_certificate.ts";
import { lobbyKey } from "../../protocol/join_token.ts";
import type { HostData } from "./host_data.ts";
import type { PreparedRun } from "./prepare.ts";

/**
 * Returns the other hosts of a run, if it has any.
 *
 * @param run.devices Of this host's workers
 * @param data Its images
 */
export async function hostsSettings(
  { config, layout, devices, natsServer: program, listening }: Pick<
    PreparedRun,
    "config" | "layout" | "devices" | "natsServer" | "listening"
  >,
  data: HostData | undefined,
): Promise<HostsOptions | undefined> {
  if (!listening || !program) return undefined;
  const { hosts: { joinTimeout }, engine } = config;
  const { host, addresses, token, joinLine } = listening;
  const [first] = devices;
  return {
    ...{ layout, joinTimeout, lobbyKey: lobbyKey(token), joinCommand: joinLine },
    device: first ? (first.kind === "gpu" ? "gpu" : "cpu") : config.device,
    threadsPerWorker: engine.threadsPerWorker,
    checkHost: data?.check,
    shareGpus: engine.shareGpus,
    dataServer: {
      ...{ program, host, addresses, firstPort: listening.firstPort },
      tls: listening.tls && await makeCertificate(),
    },
  };
}
