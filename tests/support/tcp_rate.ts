/**
 * A plain TCP transfer between two hosts. As a program, `listen PORT` takes bytes from one connection and answers when
 * it has all of them; `send ADDRESS PORT BYTES` sends, and prints seconds and bytes per second as JSON.
 *
 * @module
 */
import type { Hosts } from "./namespaces.ts";

/** The result of a transfer. */
export interface Transfer {
  readonly seconds: number;
  readonly bytesPerSecond: number;
}

const PROGRAM = new URL(import.meta.url).pathname;
const PORT = 5201;
const CHUNK_BYTES = 1 << 20;

/** Takes one transfer. Its first 8 bytes say how long it is. */
async function listen(port: number): Promise<void> {
  const listener = Deno.listen({ hostname: "0.0.0.0", port });
  console.log("ready");
  using connection = await listener.accept();
  listener.close();
  const buffer = new Uint8Array(CHUNK_BYTES);
  let left = 0;
  for (let isFirst = true; isFirst || left > 0; isFirst = false) {
    const count = await connection.read(buffer);
    if (count === null) throw new Error(`The connection ended ${left} bytes early`);
    if (isFirst) left = 8 + Number(new DataView(buffer.buffer).getBigUint64(0));
    left -= count;
  }
  await connection.write(new Uint8Array(1));
}

async function send(hostname: string, port: number, bytes: number): Promise<void> {
  using connection = await Deno.connect({ hostname, port });
  const start = performance.now();
  const head = new Uint8Array(8);
  new DataView(head.buffer).setBigUint64(0, BigInt(bytes));
  await writeAll(connection, head);
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let left = bytes; left > 0; left -= CHUNK_BYTES) {
    await writeAll(connection, chunk.subarray(0, Math.min(left, CHUNK_BYTES)));
  }
  await connection.read(new Uint8Array(1));
  const seconds = (performance.now() - start) / 1000;
  console.log(JSON.stringify({ seconds, bytesPerSecond: bytes / seconds }));
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

/** Sends `bytes` from one host to another, and returns the rate. */
export async function measureRate(
  hosts: Hosts,
  from: number,
  to: number,
  bytes: number,
): Promise<Transfer> {
  const program = [Deno.execPath(), "run", "--quiet", "--no-check", "--allow-net", PROGRAM];
  await using listener = hosts.start(to, [...program, "listen", String(PORT)]);
  await listener.seen(/ready/);
  const { address } = hosts.hosts[to]!;
  const args = ["send", address, String(PORT), String(bytes)];
  const { code, stdout, stderr } = await hosts.run(from, [...program, ...args]);
  if (code !== 0) throw new Error(`No transfer from host ${from} to ${to}: ${stderr}`);
  return JSON.parse(stdout);
}

if (import.meta.main) {
  const [mode, ...args] = Deno.args;
  if (mode === "listen") await listen(Number(args[0]));
  else await send(args[0]!, Number(args[1]), Number(args[2]));
}
