/**
 * The addresses of this machine, and those among them by which other hosts reach it.
 *
 * @module
 */
import { BlockList, isIP } from "node:net";
import { nearestName, UsageError } from "../base/errors.ts";

/** An address of this machine. */
export interface LocalAddress {
  /** Name of the interface, such as `eth0`. */
  readonly name: string;
  /** An IP address. */
  readonly address: string;
}

/** The most addresses that are offered to other hosts. */
const MAX_OFFERED = 4;
/** Interfaces that connect containers and virtual machines of one machine. */
const INTERNAL = /^(docker|br-|veth|virbr|vmnet|cni|cali|flannel|lxc|lxd|podman|tunl)/;
const NAME = /^(?=.{1,253}$)[a-z\d_]([a-z\d_-]*[a-z\d_])?(\.[a-z\d_]([a-z\d_-]*[a-z\d_])?)*\.?$/i;
const FORM =
  "give a name or an address of this machine, a network such as 10.0.0.0/8, or an interface such as eth0";

/** Returns the addresses of this machine, in the order of the system. */
export function localAddresses(): LocalAddress[] {
  return Deno.networkInterfaces().map(({ name, address }) => ({ name, address }));
}

/** Tells whether a host's address is this machine's; names are compared with its own name alone. */
export function isOwnAddress(host: string, local = localAddresses()): boolean {
  const plain = host.replace(/^\[|\]$/g, "").toLowerCase();
  return local.some(({ address }) => address === plain);
}

/**
 * Returns the problem with a text that names the address of this machine (`hosts.address`), as the end of a sentence;
 * nothing if it has one of the forms.
 */
export function addressProblem(text: string): string | undefined {
  const [network = "", bits, ...rest] = text.split("/");
  if (bits !== undefined) {
    const version = isIP(network);
    const most = version === 4 ? 32 : 128;
    const isNetwork = version !== 0 && rest.length === 0 && /^\d{1,3}$/.test(bits) &&
      Number(bits) <= most;
    return isNetwork ? undefined : `it is no network: write one such as 10.0.0.0/8`;
  }
  if (isIP(text) !== 0 || NAME.test(text)) {
    const isNumber = /^[\d.]+$/.test(text) && isIP(text) === 0;
    return isNumber ? `it has no IPv4 address (four numbers up to 255): ${FORM}` : undefined;
  }
  return /:\d+$/.test(text) && isIP(text) === 0
    ? `it has a port, which belongs to hosts.listen: ${FORM}`
    : `it names no address: ${FORM}`;
}

/**
 * Returns the names or addresses by which other hosts reach this one, the likeliest first.
 *
 * @param wanted A name, an address, a network or an interface; all addresses unless given, without those that lead
 *   nowhere else
 * @param where The setting that gives it, for messages
 * @param resolves Tells whether a name has an address
 * @throws {UsageError} When this machine has no such address
 */
export async function offeredAddresses(
  wanted: string | undefined,
  { where = "hosts.address", local = localAddresses(), resolves }: {
    readonly where?: string;
    readonly local?: readonly LocalAddress[];
    readonly resolves: (name: string) => Promise<boolean>;
  },
): Promise<string[]> {
  if (wanted === undefined) return reachable(local).slice(0, MAX_OFFERED);
  const problem = addressProblem(wanted);
  if (problem !== undefined) {
    throw new UsageError(`${where} is ${JSON.stringify(wanted)}: ${problem}`);
  }
  const own = `this machine has ${describe(local)}`;
  if (wanted.includes("/")) {
    const inside = inNetwork(wanted, local);
    if (inside.length > 0) return inside.slice(0, MAX_OFFERED);
    throw new UsageError(`${where} is ${wanted}, and no address of this machine is in it: ${own}`);
  }
  // An address may be another machine's that passes connections on; the probe will tell.
  if (isIP(wanted) !== 0) return [wanted];
  const ofInterface = local.filter(({ name }) => name === wanted).map(({ address }) => address);
  if (ofInterface.length > 0) {
    const global = withoutLinkLocal(ofInterface);
    if (global.length > 0) return ipv4First(global).slice(0, MAX_OFFERED);
    throw new UsageError(
      `${where} is ${wanted}, an interface without an address that other hosts can use: ${own}`,
    );
  }
  if (await resolves(wanted)) return [wanted];
  const names = [...new Set(local.map(({ name }) => name))];
  const nearest = nearestName(wanted, names);
  throw new UsageError(
    `${where} is ${wanted}, which is no interface of this machine and no name that has an address: ${
      nearest ? `did you mean ${nearest}? ` : ""
    }${own[0]?.toUpperCase()}${own.slice(1)}`,
  );
}

/**
 * Returns those of some addresses at which a server is reached that listens at `host`: one at 0.0.0.0 has no IPv6.
 */
export function reachedAt(host: string, addresses: readonly string[]): string[] {
  return addresses.filter((address) => host !== "0.0.0.0" || isIP(address) !== 6);
}

function reachable(local: readonly LocalAddress[]): string[] {
  const outside = local.filter(({ address }) => !/^127\.|^::1$/.test(address));
  const real = outside.filter(({ name }) => !INTERNAL.test(name));
  const addresses = withoutLinkLocal(
    (real.length > 0 ? real : outside).map(({ address }) => address),
  );
  return addresses.length > 0 ? ipv4First(addresses) : ["127.0.0.1"];
}

/** An IPv6 address of a link means something only together with the interface. */
function withoutLinkLocal(addresses: readonly string[]): string[] {
  return addresses.filter((address) => !/^fe[89ab][\da-f]:|^169\.254\./i.test(address));
}

function ipv4First(addresses: readonly string[]): string[] {
  return [...addresses].sort((one, other) => isIP(one) - isIP(other));
}

function inNetwork(network: string, local: readonly LocalAddress[]): string[] {
  const [base = "", bits] = network.split("/");
  const list = new BlockList();
  list.addSubnet(base, Number(bits), familyOf(base));
  return local.map(({ address }) => address).filter((address) =>
    familyOf(address) === familyOf(base) && list.check(address, familyOf(address))
  );
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 6 ? "ipv6" : "ipv4";
}

function describe(local: readonly LocalAddress[]): string {
  return local.map(({ name, address }) => `${address} (${name})`).join(", ") || "no address";
}
