/**
 * The start of a host's agent from the settings with which it joins.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { delay } from "../base/async.ts";
import { UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import type { JoinSettings } from "../hosts/join_settings.ts";
import { offeredAddresses } from "../hosts/local_addresses.ts";
import { isLoopback } from "../hosts/listening.ts";
import { hostOf, portOf } from "../hosts/join_line.ts";
import { makeCertificate, ownFingerprint } from "../hosts/own_certificate.ts";
import type { NatsAddress } from "../protocol/address.ts";
import { hostCredentials, lobbyKey, readToken } from "../protocol/join_token.ts";
import { ensureNatsServer } from "../provision/nats_server.ts";
import type { Progress } from "../provision/progress.ts";
import { readAuthorities } from "../protocol/server_address.ts";
import { type AgentSettings, runAgent } from "./agent.ts";

/** The surroundings of an agent. */
export interface AgentOptions extends Pick<AgentSettings, "onInfo" | "onWarning" | "signal"> {
  /** Seconds for which the coordinator is waited for (600 unless given). */
  readonly joinTimeout?: number;
  readonly progress: Progress;
}

const JOIN_TIMEOUT = 600;
/** Milliseconds between two looks for the token's file. */
const TOKEN_MS = 500;

/**
 * Joins a run, and serves it until it is over.
 *
 * @throws {UsageError} when the settings can't be used
 * @throws {LockstepError} when the run can't be joined, or its coordinator is gone
 * @throws {InterruptedError} when the signal fires
 */
export async function startAgent(join: JoinSettings, options: AgentOptions): Promise<void> {
  const { progress, onInfo, onWarning, signal, joinTimeout = JOIN_TIMEOUT } = options;
  const token = await tokenOf(join, joinTimeout, options);
  const servers = await serversOf(join, token);
  // A coordinator on loopback is on this machine, where nobody else is to reach the servers.
  const isLocal = join.servers.every((server) => isLoopback(hostOf(server)));
  const resolves = (name: string) => lookup(name).then(() => true, () => false);
  const addresses = isLocal
    ? ["127.0.0.1"]
    : await offeredAddresses(join.address, { where: join.addressSource ?? "--address", resolves });
  const anyAddress = addresses.some((address) => isIP(address) === 6) ? "::" : "0.0.0.0";
  const program = await ensureNatsServer(progress);
  const isPlain = join.trust.kind === "plain";
  await runAgent({
    ...{ servers, lobbyKey: lobbyKey(token), index: join.hostIndex, joinTimeout },
    ...{ data: join.data, progress, onInfo, onWarning, signal },
    dataServer: {
      firstPort: portOf(join.servers[0]!) + 1,
      ...{ program, host: isLocal ? "127.0.0.1" : anyAddress, addresses, onWarning },
      tls: isPlain ? undefined : await makeCertificate(),
    },
  });
}

/**
 * Reads the token. A scheduler may start hosts before the coordinator has made the file, in a folder that they share: it is
 * waited for then.
 */
async function tokenOf(
  { tokenFile, tokenSource, trust }: JoinSettings,
  joinTimeout: number,
  { onInfo, signal }: Pick<AgentOptions, "onInfo" | "signal">,
): Promise<string> {
  const deadline = performance.now() + 1000 * joinTimeout;
  if (trust.kind === "token" && !await exists(tokenFile)) {
    onInfo(`Waiting for the token's file ${tokenFile}, which the coordinator makes`);
    while (performance.now() < deadline && !await exists(tokenFile)) {
      await delay(TOKEN_MS, signal);
    }
  }
  return await readToken(tokenFile, tokenSource);
}

/**
 * Returns the coordinator's server at each of its addresses.
 *
 * @throws {UsageError} when the fingerprint isn't that of the token, or the authority's file can't be used
 */
async function serversOf(
  { servers, trust, ca, caSource = "--ca", tokenFile, tokenSource }: JoinSettings,
  token: string,
): Promise<NatsAddress[]> {
  const credentials = hostCredentials(token);
  switch (trust.kind) {
    case "plain":
      return servers.map((server) => ({ url: `nats://${server}`, credentials, own: true }));
    case "authority": {
      const authorities = ca === undefined ? {} : { ca: await readAuthorities(ca, caSource) };
      return servers.map((server) => ({
        ...{ url: `tls://${server}`, credentials, own: true, ...authorities },
      }));
    }
    default: {
      const known = await ownFingerprint(token);
      if (trust.kind === "fingerprint" && trust.fingerprint !== known) {
        throw new UsageError(
          `${tokenSource} is ${tokenFile}, which isn't the token of the run in --join: copy the coordinator's file, whose ` +
            "path stands in the line that it printed",
        );
      }
      return servers.map((server) => ({
        ...{ url: `tls://${server}`, credentials, own: true, fingerprint: known },
      }));
    }
  }
}
