/**
 * A cable with delay and loss, as a program: passes frames between two TAP interfaces, which it makes. (This kernel, as
 * those of many containers, has no netem.)
 *
 * Arguments: the names of the interfaces, the delay in milliseconds, the part of the frames that is lost. Prints a line
 * when the interfaces exist. A line of standard input, "DELAY LOSS", changes both; its end ends the program.
 *
 * @module
 */
const O_RDWR_NONBLOCK = 0o2 | 0o4000;
const TUNSETIFF = 0x400454can;
const IFF_TAP_NO_PI = 0x0002 | 0x1000;
const POLLIN = 1;
/** More than a frame with any usual MTU. */
const FRAME_BYTES = 65_536;

const { symbols: c } = Deno.dlopen("libc.so.6", {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
});

/** Makes a TAP interface, and returns its file descriptor. */
function openTap(name: string): number {
  const fd = c.open(new TextEncoder().encode("/dev/net/tun\0"), O_RDWR_NONBLOCK);
  const request = new Uint8Array(40);
  new TextEncoder().encodeInto(name, request);
  new DataView(request.buffer).setInt16(16, IFF_TAP_NO_PI, true);
  if (fd < 0 || c.ioctl(fd, TUNSETIFF, request) < 0) throw new Error(`No TAP interface ${name}`);
  return fd;
}

/** One direction of the cable. */
class Direction {
  readonly #from: number;
  readonly #to: number;
  /** Frames on their way, with the times of their arrival. */
  readonly #frames: { due: number; frame: Uint8Array<ArrayBuffer> }[] = [];

  constructor(from: number, to: number) {
    this.#from = from;
    this.#to = to;
  }

  /** The arrival of the next frame. */
  get due(): number {
    return this.#frames[0]?.due ?? Infinity;
  }

  take(): void {
    const buffer = new Uint8Array(FRAME_BYTES);
    for (;;) {
      const length = Number(c.read(this.#from, buffer, BigInt(FRAME_BYTES)));
      if (length <= 0) return;
      if (Math.random() < lossRate) continue;
      this.#frames.push({ due: performance.now() + delayMs, frame: buffer.slice(0, length) });
    }
  }

  deliver(): void {
    const now = performance.now();
    while (this.due <= now) {
      const { frame } = this.#frames.shift()!;
      c.write(this.#to, frame, BigInt(frame.length));
    }
  }
}

const [near, far, ...numbers] = Deno.args;
let [delayMs, lossRate] = numbers.map(Number) as [number, number];
const ends = [openTap(near!), openTap(far!)] as const;
const directions = [new Direction(ends[0], ends[1]), new Direction(ends[1], ends[0])];
/** `struct pollfd`: descriptor, events, returned events. */
const polled = new DataView(new ArrayBuffer(24));
[...ends, 0].forEach((fd, index) => {
  polled.setInt32(8 * index, fd, true);
  polled.setInt16(8 * index + 4, POLLIN, true);
});
console.log("ready");
const line = new Uint8Array(256);
for (;;) {
  const wait = Math.min(...directions.map(({ due }) => due)) - performance.now();
  c.poll(new Uint8Array(polled.buffer), 3n, wait < 1e6 ? Math.max(0, Math.ceil(wait)) : -1);
  for (const direction of directions) direction.deliver();
  for (const direction of directions) direction.take();
  for (const direction of directions) direction.deliver();
  if (polled.getInt16(22, true) === 0) continue;
  const length = Number(c.read(0, line, BigInt(line.length)));
  if (length <= 0) Deno.exit(0);
  [delayMs, lossRate] = new TextDecoder().decode(line.subarray(0, length)).trim().split("\n").at(
    -1,
  )!
    .split(" ").map(Number) as [number, number];
}
