/**
 * A way to a nats-server on which messages are lost, repeated, delayed, overtaken and damaged.
 *
 * @module
 */

/** The fate of a message: it is passed on, or not, or with a byte changed, twice, again later, or after others. */
export type Fate = "pass" | "drop" | "damage" | "repeat" | "late" | "overtaken";

/** A message on its way to the server. */
export interface Passing {
  readonly subject: string;
  readonly payload: Uint8Array;
  /** Number among all messages, from 0. */
  readonly index: number;
}

/** A proxy before a server. */
export interface ChaoticNetwork extends AsyncDisposable {
  readonly url: string;
  /** Messages of each fate. */
  readonly fates: Readonly<Record<Fate, number>>;
  /** Parts clients and server until the result is disposed of: connections stay, and nothing comes through. */
  part(): Disposable;
}

/** Messages that overtake another one. */
const OVERTAKING = 3;
const LATE_MS = 150;
const encoder = new TextEncoder();

/** Starts a proxy before a server. */
export function startChaoticNetwork(
  server: string,
  fateOf: (message: Passing) => Fate,
): ChaoticNetwork {
  const port = Number(new URL(server).port);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const fates: Record<Fate, number> = {
    pass: 0,
    drop: 0,
    damage: 0,
    repeat: 0,
    late: 0,
    overtaken: 0,
  };
  const open = new Set<Deno.TcpConn>();
  const close = (connection: Deno.TcpConn) => {
    if (open.delete(connection)) connection.close();
  };
  let index = 0;
  let whole = Promise.resolve(); // pending while the network is parted
  const toServer = async (client: Deno.TcpConn, target: Deno.TcpConn) => {
    const out = new Sender(target);
    for await (const part of readParts(client)) {
      await whole;
      if (typeof part === "string") {
        out.send(encoder.encode(part));
        continue;
      }
      const fate = fateOf({ ...part, index: index++ });
      fates[fate]++;
      out.publish(part, fate);
    }
    out.close();
  };
  const toClient = async (target: Deno.TcpConn, client: Deno.TcpConn) => {
    const buffer = new Uint8Array(64 * 1024);
    for (let count = await target.read(buffer); count !== null; count = await target.read(buffer)) {
      await whole;
      for (let sent = 0; sent < count;) sent += await client.write(buffer.subarray(sent, count));
    }
  };
  const carry = async (client: Deno.TcpConn) => {
    const target = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => undefined);
    if (!target) return client.close(); // the server is down
    open.add(client).add(target);
    const back = toClient(target, client).catch(() => {});
    await Promise.race([toServer(client, target).catch(() => {}), back]);
    close(client);
    close(target);
    await back;
  };
  const carrying: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const client of listener) carrying.push(carry(client));
  })();
  return {
    url: `nats://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`,
    fates,
    part: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      whole = promise;
      return { [Symbol.dispose]: resolve };
    },
    [Symbol.asyncDispose]: async () => {
      listener.close();
      await accepting;
      [...open].forEach(close);
      await Promise.all(carrying);
    },
  };
}

interface Published {
  readonly subject: string;
  readonly payload: Uint8Array;
}

/** Splits what a client sends into messages and lines of the protocol. */
async function* readParts(client: Deno.TcpConn): AsyncGenerator<string | Published> {
  let bytes = new Uint8Array(0);
  const buffer = new Uint8Array(64 * 1024);
  const more = async () => {
    const count = await client.read(buffer);
    if (count === null) return false;
    const joined = new Uint8Array(bytes.length + count);
    joined.set(bytes);
    joined.set(buffer.subarray(0, count), bytes.length);
    bytes = joined;
    return true;
  };
  for (;;) {
    let end = bytes.indexOf(10);
    while (end < 0) {
      if (!await more()) return;
      end = bytes.indexOf(10);
    }
    const line = new TextDecoder().decode(bytes.subarray(0, end + 1));
    const [, subject, length] = /^PUB (\S+) (\d+)\r\n$/.exec(line) ?? [];
    bytes = bytes.slice(end + 1);
    if (!subject) {
      yield line;
      continue;
    }
    const size = Number(length);
    while (bytes.length < size + 2) if (!await more()) return;
    yield { subject, payload: bytes.slice(0, size) };
    bytes = bytes.slice(size + 2);
  }
}

/** Sends frames to the server, one after the other. */
class Sender {
  readonly #target: Deno.TcpConn;
  #sending: Promise<unknown> = Promise.resolve();
  #held: { readonly message: Published; after: number }[] = [];
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();

  constructor(target: Deno.TcpConn) {
    this.#target = target;
  }

  send(bytes: Uint8Array): void {
    this.#sending = this.#sending.then(async () => {
      for (let sent = 0; sent < bytes.length;) {
        sent += await this.#target.write(bytes.subarray(sent));
      }
    }).catch(() => {}); // the connection is closed
  }

  publish(message: Published, fate: Fate): void {
    if (fate === "overtaken") {
      this.#held.push({ message, after: OVERTAKING });
      this.#later(() => this.#release(true));
      return;
    }
    if (fate === "damage") this.#write(damaged(message));
    else if (fate !== "drop") this.#write(message);
    if (fate === "repeat") this.#write(message);
    if (fate === "late") this.#later(() => this.#write(message));
    this.#release(false);
  }

  close(): void {
    this.#timers.forEach((timer) => clearTimeout(timer));
  }

  #release(all: boolean): void {
    for (const held of this.#held) held.after--;
    const due = this.#held.filter(({ after }) => all || after <= 0);
    this.#held = this.#held.filter((held) => !due.includes(held));
    for (const { message } of due) this.#write(message);
  }

  #later(action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, LATE_MS);
    this.#timers.add(timer);
  }

  #write({ subject, payload }: Published): void {
    this.send(encoder.encode(`PUB ${subject} ${payload.length}\r\n`));
    this.send(payload);
    this.send(encoder.encode("\r\n"));
  }
}

/** A message whose last byte has one bit changed: of the payload, where it has one. */
function damaged({ subject, payload }: Published): Published {
  const copy = payload.slice();
  copy[copy.length - 1] ^= 0x10;
  return { subject, payload: copy };
}
