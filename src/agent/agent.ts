/**
 * The agent of a host that is not the coordinator's: it joins a run, and does there what the coordinator does on its own
 * machine, until the run is over or the coordinator is gone.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { anySignal, delay, waitAtMost } from "../base/async.ts";
import { LockstepError, messageOf, UsageError } from "../base/errors.ts";
import { interruptionOf } from "../base/interruption.ts";
import { itemAt } from "../base/item_at.ts";
import { Pending } from "../base/pending.ts";
import { type HostFacts, hostSettingsSchema } from "../hosts/host_calls.ts";
import { HostConversation } from "../hosts/host_conversation.ts";
import type { NatsAddress } from "../protocol/address.ts";
import { ServerRefusalError } from "../protocol/connect_failure.ts";
import { askToJoin } from "../protocol/joining.ts";
import { Link } from "../protocol/link.ts";
import { lobbyOf } from "../protocol/lobby.ts";
import type { Header } from "../protocol/messages.ts";
import { SilenceTimer } from "../protocol/silence_timer.ts";
import { maskAddress } from "../base/secrets.ts";
import { beginLive } from "../records/live_runs.ts";
import { AgentDuties, type DutyOptions } from "./agent_duties.ts";

/** Settings of an agent. */
export interface AgentSettings
  extends Pick<DutyOptions, "dataServer" | "data" | "progress" | "entry"> {
  /** The coordinator's server at each of its addresses, with the credentials by which hosts join. */
  readonly servers: readonly NatsAddress[];
  /** The key of the messages by which hosts join. */
  readonly lobbyKey: string;
  /** The number that the host wants to have among the hosts of the run. */
  readonly index?: number | undefined;
  /** Seconds for which the coordinator is waited for. */
  readonly joinTimeout: number;
  readonly onInfo: (message: string) => void;
  readonly onWarning: (message: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Milliseconds for the last notices to go out. */
const LEAVE_MS = 1_000;
/** Milliseconds for which a server that is gone is waited for: as long as a restart of it takes. */
const GONE_MS = 4_000;
/** Milliseconds between two attempts to reach the server. */
const RETRY_MS = 500;
/** Milliseconds of vain attempts after which the reason is told. */
const PATIENCE_MS = 3_000;
/** Milliseconds after which a server whose machine refuses connections counts as ended. */
const REFUSED_MS = 2_000;

/**
 * Joins a run and serves it until it is over. When the coordinator can't be reached any more, the workers of this host are
 * ended, and the agent joins again as soon as the way to it is back.
 *
 * @throws {LockstepError} when the run can't be joined, refuses this host, or its coordinator is gone
 * @throws {InterruptedError} when the signal fires
 */
export async function runAgent(settings: AgentSettings): Promise<void> {
  const { servers, signal, onWarning } = settings;
  const address = maskAddress(itemAt(servers, 0).url);
  using live = beginLive( // without waiting: the order of arrival gives hosts their numbers
    { kind: "worker", name: `agent-of-${address.replace(/^\w+:\/\//, "")}`, server: address },
    { signal, onProblem: onWarning },
  );
  let lost: CoordinatorLostError | undefined;
  for (;;) {
    try {
      const isOver = await serveOnce({ ...settings, live }, lost);
      if (isOver) return;
      lost = undefined;
      settings.onInfo("The run starts again: this host joins anew");
    } catch (error) {
      if (!(error instanceof CoordinatorLostError) || settings.signal?.aborted) throw error;
      lost = error;
      settings.onWarning(
        `${error.message}: the workers of this host were ended; it joins again if the coordinator answers within ` +
          `${settings.joinTimeout} s`,
      );
    }
  }
}

/**
 * Serves one start of a run; false where it starts again.
 *
 * @param lost Why the coordinator was lost, if it was
 */
async function serveOnce(
  settings: AgentSettings & Required<Pick<DutyOptions, "live">>,
  lost: CoordinatorLostError | undefined,
): Promise<boolean> {
  const { servers, signal, onInfo } = settings;
  onInfo(`Joining the run at ${servers.map(({ url }) => url).join(" or ")}`);
  const { lobby, server } = await openLobby(settings, lost);
  try {
    const instance = randomUUID();
    const answer = await askForPlace(lobby, instance, settings);
    const { index, run, session, workerCredentials, lostAfter, reconnectTimeout } =
      hostSettingsSchema.parse(answer.settings);
    onInfo(`This is host ${index} of the run`);
    const link = new Link(lobby.connection, run, `host ${index}`, server, {
      reconnectMs: 1000 * reconnectTimeout,
    });
    const over = new Pending<boolean>();
    const { subjects } = link;
    const nats = { ...server, credentials: workerCredentials ?? server.credentials };
    await using duties = new AgentDuties({
      ...settings,
      ...{ index, run, nats, lostAfter, reconnectTimeout },
      notify: (name, args) => conversation.notify(name, args),
      onEnd: ({ reason, isUsage, again }) => {
        const message = `The run is over: ${reason}`;
        if (reason === null) over.finish(!again);
        else over.fail(isUsage ? new UsageError(message) : new LockstepError(message));
      },
    });
    const conversation: HostConversation = new HostConversation({
      ...duties.handlers,
      ...{ link, session, peer: "The coordinator" },
      speaking: subjects.hostEvent(index),
      listening: subjects.hostCommand(index),
      onSilence: (silentMs) => {
        if (silentMs < 1000 * lostAfter) return;
        const seconds = Math.round(silentMs / 1000);
        over.fail(new CoordinatorLostError(`The coordinator has sent nothing for ${seconds} s`));
      },
    });
    link.failed.addEventListener("abort", () => over.fail(link.failed.reason), { once: true });
    using _watch = watchServer(
      link,
      () => over.fail(new CoordinatorLostError(`The nats-server at ${link.server} is gone`)),
    );
    try {
      return await over.result({ signal });
    } catch (error) {
      const reason = signal?.aborted ? "was stopped" : `ends (${messageOf(error)})`;
      conversation.notify("leaving", { reason });
      await waitAtMost(LEAVE_MS, conversation.empty);
      throw signal?.aborted ? interruptionOf(signal.reason) : error;
    } finally {
      conversation.end(new LockstepError("The agent ends"));
    }
  } finally {
    await lobby.close();
  }
}

/**
 * Connects to the coordinator's server, which may not be there yet. One that was there is given up soon where its machine
 * answers that nobody listens: the coordinator has ended then.
 */
async function openLobby(
  { servers, lobbyKey, joinTimeout, onWarning, signal }: AgentSettings,
  lost: CoordinatorLostError | undefined,
): Promise<{ readonly lobby: Link; readonly server: NatsAddress }> {
  const begun = performance.now();
  let refusedSince: number | undefined;
  let hasTold = false;
  const open = async (server: NatsAddress) => {
    const lobby = await Link.open(server, lobbyOf(lobbyKey), `host ${hostname()}`, {
      reconnectMs: 1000 * joinTimeout,
    });
    return { lobby, server };
  };
  for (;;) {
    if (signal?.aborted) throw interruptionOf(signal.reason);
    const attempts = servers.map(open);
    try {
      const first = await Promise.any(attempts);
      for (const attempt of attempts) {
        attempt.then(({ lobby }) => lobby === first.lobby ? undefined : lobby.close(), () => {});
      }
      return first;
    } catch (failure) {
      const errors = (failure as AggregateError).errors;
      const final = errors.find((error) =>
        error instanceof ServerRefusalError || error instanceof UsageError
      );
      if (final) throw final;
      const [error] = errors;
      const now = performance.now();
      refusedSince = errors.some(isConnectionRefused) ? refusedSince ?? now : undefined;
      const hasEnded = lost && refusedSince !== undefined && now - refusedSince >= REFUSED_MS;
      if (lost && hasEnded) {
        throw new LockstepError(
          `${lost.message}, and its machine answers that nobody listens there: its run has ended`,
        );
      }
      if (now - begun > 1000 * joinTimeout) throw error;
      if (now - begun > PATIENCE_MS && !hasTold) {
        hasTold = true;
        onWarning(`${messageOf(error)}; this host tries again, for up to ${joinTimeout} s`);
      }
      await delay(RETRY_MS, signal).catch(() => {});
    }
  }
}

function isConnectionRefused(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof Deno.errors.ConnectionRefused) return true;
  }
  return false;
}

/** The coordinator is gone, or can't be reached any more. */
export class CoordinatorLostError extends LockstepError {
  override name = "CoordinatorLostError";
}

/** Calls back when the server has been away for longer than a restart of it takes. */
function watchServer(link: Link, onGone: () => void): Disposable {
  const silence = new SilenceTimer((goneMs) => {
    if (!link.serverGone) silence.heard();
    else if (goneMs >= GONE_MS) onGone();
  });
  return { [Symbol.dispose]: () => silence.stop() };
}

async function askForPlace(
  lobby: Link,
  instance: string,
  { index, joinTimeout, signal }: Pick<AgentSettings, "index" | "joinTimeout" | "signal">,
): Promise<Header<"hostWelcome">> {
  const facts: HostFacts = { hostname: hostname(), pid: Deno.pid, index: index ?? null };
  return await askToJoin<Header<"hostWelcome">>(lobby, {
    listen: (answer) =>
      lobby.subscribe(lobby.subjects.welcome(instance), {
        hostWelcome: ({ header }) => answer.finish(header),
        refusal: ({ header }) => answer.fail(new UsageError(header.reason)),
      }),
    ask: () => lobby.publish(lobby.subjects.join, "hostJoin", { instance, facts }),
    signal: anySignal(lobby.failed, signal),
    timeout: {
      ms: 1000 * joinTimeout,
      makeError: () =>
        new LockstepError(
          `The coordinator at ${lobby.server} hasn't answered for ${joinTimeout} s: its run is over, or its token is another one`,
        ),
    },
  });
}
