/**
 * A way to a server on the loopback whose connections break, or stand still, after some bytes of answers.
 *
 * @module
 */

/** A relay before a server. */
export interface BreakingRelay extends AsyncDisposable {
  readonly port: number;
  /** Bytes of answers that each connection has let through, in order. */
  readonly passed: readonly number[];
}

/**
 * Starts a relay.
 *
 * @param limitOf Bytes of answers that a connection lets through, by its number from 0
 * @param end What happens then: the connection breaks, or nothing more comes
 */
export function startBreakingRelay(
  port: number,
  limitOf: (connection: number) => number,
  end: "break" | "stall" = "break",
): BreakingRelay {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  const passed: number[] = [];
  const close = (connection: Deno.TcpConn) => {
    if (!open.delete(connection)) return;
    try {
      connection.close();
    } catch {
      // Its stream has ended, which closes it.
    }
  };
  const relay = async (client: Deno.TcpConn) => {
    const number = passed.push(0) - 1;
    const server = await Deno.connect({ hostname: "127.0.0.1", port });
    [client, server].forEach((each) => open.add(each));
    const up = client.readable.pipeTo(server.writable, { preventClose: true }).catch(() => {});
    const writer = client.writable.getWriter();
    try {
      for await (const chunk of server.readable) {
        const some = chunk.subarray(0, limitOf(number) - passed[number]!);
        await writer.write(some);
        passed[number]! += some.length;
        if (some.length < chunk.length) break;
      }
    } catch {
      // One of the ends is gone.
    }
    if (end === "stall" && open.has(client)) return;
    close(client);
    close(server);
    await up;
  };
  const relays: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const client of listener) relays.push(relay(client as Deno.TcpConn));
  })();
  return {
    port: (listener.addr as Deno.NetAddr).port,
    passed,
    [Symbol.asyncDispose]: async () => {
      listener.close();
      [...open].forEach(close);
      await accepting;
      await Promise.allSettled(relays);
    },
  };
}
