/**
 * The part of the tests of the fake driver that runs on the fake machine: prints what it finds as JSON.
 *
 * @module
 */
import { type Address, FakeDriver } from "../support/fake_cuda/driver.ts";

const BYTES = 4096;
const ROUNDS = 40;
const driver = new FakeDriver();

/** A copy up on one stream and its reading on another, in rounds: how often were the bytes those of the copy? */
function reads({ waits }: { waits: boolean }): { right: number; poisoned: number } {
  const [uploads, readings] = [driver.stream(), driver.stream()];
  const memory = driver.allocate(BYTES);
  const copied = driver.event();
  const [from, to] = [driver.pinned(BYTES), driver.pinned(BYTES)];
  let [right, poisoned] = [0, 0];
  for (let round = 1; round <= ROUNDS; round++) {
    from.fill(round);
    driver.up(memory, from, uploads);
    driver.record(copied, uploads);
    if (waits) driver.waitForEvent(readings, copied);
    driver.down(to, memory, readings);
    driver.synchronize();
    if (to.every((byte) => byte === round)) right++;
    if (to.every((byte) => byte === 0xff)) poisoned++;
  }
  return { right, poisoned };
}

/** Pinned memory is read when the copy runs: changed before, the changed bytes arrive. */
function overwritten(from: Uint8Array<ArrayBuffer>): number {
  const stream = driver.stream();
  const memory = driver.allocate(BYTES);
  const to = driver.pinned(BYTES);
  let changed = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    from.fill(1);
    driver.up(memory, from, stream);
    from.fill(2);
    driver.down(to, memory, stream);
    driver.synchronize();
    if (to.includes(2)) changed++;
  }
  return changed;
}

function withoutContext() {
  const out = new BigUint64Array(1);
  const early = driver.raw.cuDeviceGetCount(new Int32Array(1));
  driver.raw.cuInit(0);
  return {
    early,
    codes: [
      driver.raw.cuMemAlloc_v2(out, 16n),
      driver.raw.cuStreamCreate(out, 0),
      driver.raw.cuEventCreate(out, 0),
      driver.raw.cuMemHostRegister_v2(new Uint8Array(16), 16n, 0),
      driver.launch(0n),
      driver.synchronize(),
    ],
  };
}

async function valueWaits() {
  driver.makeCurrent(0);
  const flag = driver.pinned(4);
  const [waiting, stream] = [driver.stream(), Deno.UnsafePointer.of(flag)];
  const address: Address = Deno.UnsafePointer.value(stream);
  const [memory, to] = [driver.allocate(BYTES), driver.pinned(BYTES)];
  driver.up(memory, driver.pinned(BYTES).fill(7), waiting);
  const code = driver.raw.cuStreamWaitValue32_v2(waiting, address, 5, 0);
  driver.down(to, memory, waiting);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const before = { query: driver.raw.cuStreamQuery(waiting), first: to[0] };
  flag[0] = 5;
  driver.synchronize();
  return { code, before, after: { query: driver.raw.cuStreamQuery(waiting), first: to[0] } };
}

function registered() {
  const memory = new Uint8Array(BYTES);
  return [1, 2].map(() => driver.raw.cuMemHostRegister_v2(memory, BigInt(BYTES), 0));
}

function fills(): { allocations: number; error: string } {
  driver.makeCurrent(0);
  for (let allocations = 0;; allocations++) {
    try {
      driver.allocate(2 ** 20);
    } catch (error) {
      return { allocations, error: (error as Error).message };
    }
  }
}

function falls() {
  driver.makeCurrent(0);
  const stream = driver.stream();
  const launches = Array.from({ length: 5 }, () => driver.launch(stream));
  const other = driver.raw.cuDevicePrimaryCtxRetain(new BigUint64Array(1), 1);
  return { launches, synchronize: driver.synchronize(), other };
}

/** Milliseconds that the loading of a module takes. */
function loads(): number {
  driver.makeCurrent(0);
  const start = performance.now();
  driver.raw.cuModuleLoadData(new BigUint64Array(1), new Uint8Array(8));
  return performance.now() - start;
}

const SCENARIOS: Record<string, () => unknown> = {
  waits: async () => {
    const refused = withoutContext();
    driver.makeCurrent(0);
    return {
      refused,
      with: reads({ waits: true }),
      without: reads({ waits: false }),
      pinned: overwritten(driver.pinned(BYTES)),
      pageable: overwritten(new Uint8Array(BYTES)),
      values: await valueWaits(),
      registered: registered(),
    };
  },
  devices: () => ({
    code: driver.raw.cuInit(0),
    uuids: driver.raw.cuInit(0) ? [] : driver.uuids(),
  }),
  fills,
  falls,
  loads,
};

console.log(JSON.stringify(await SCENARIOS[Deno.args[0]!]!()));
