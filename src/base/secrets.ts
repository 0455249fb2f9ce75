/**
 * Passwords and tokens that this process was given: they are never displayed or stored.
 *
 * @module
 */

/** The replacement for a secret. */
export const MASK = "***";

/** Minimum length of a secret: shorter ones would match unrelated words. */
const MIN_LENGTH = 4;

const secrets = new Set<string>();

/**
 * Credentials of a broker's address: everything up to the last `@` before a space or quote, since a password may
 * hold `@` and `/`. The length of a match is bounded, so that the search time is bounded.
 */
const BROKER_CREDENTIALS = /((?:nats|tls|wss?):\/\/)[^\s"'<>]{0,2048}@(?=[\w[.-])/gi;
/** Credentials of any other address; an `@` in its path is part of a name. */
const CREDENTIALS = /(:\/\/)[^\s"'<>/]{0,2048}@(?=[\w[.-])/g;

/** Registers a text for {@linkcode maskSecrets}, also in its URL-encoded form. */
export function keepSecret(text: string): void {
  for (const form of [text, encodeURIComponent(text)]) {
    if (form.length >= MIN_LENGTH) secrets.add(form);
  }
}

/** Replaces known secrets and the credentials of addresses by `***`. */
export function maskSecrets(text: string): string {
  let masked = maskCredentials(text);
  for (const secret of secrets) masked = masked.replaceAll(secret, MASK);
  return masked;
}

/** Replaces the credentials of addresses by `***`, for texts in files of older versions. */
export function maskCredentials(text: string): string {
  if (!text.includes("://")) return text;
  return text.replace(BROKER_CREDENTIALS, `$1${MASK}@`).replace(CREDENTIALS, `$1${MASK}@`);
}

/**
 * A value's JSON, with {@linkcode maskRunText} applied to each text.
 *
 * @param config Config of the run that the value belongs to, if there is one
 */
export function maskedJson(value: unknown, config?: unknown): string {
  return JSON.stringify(
    value,
    (_key, each) => typeof each === "string" ? maskRunText(each, config) : each,
  );
}

/**
 * Returns a text of a run folder after {@linkcode maskCredentials}, also without the credentials of the run's
 * nats-server wherever its address occurs.
 *
 * @param config The run's config, of any version
 */
export function maskRunText(text: string, config: unknown): string {
  const address = (config as { nats?: { url?: unknown } } | undefined)?.nats?.url;
  const known = typeof address === "string" && address.includes("@") &&
    address !== maskAddress(address);
  return maskCredentials(known ? text.replaceAll(address, maskAddress(address)) : text);
}

/** Returns an address, with or without a scheme, with `***` instead of its credentials. */
export function maskAddress(address: string): string {
  const at = address.lastIndexOf("@");
  if (at < 0) return maskSecrets(address);
  const scheme = /^[a-z][a-z\d+.-]*:\/\//i.exec(address)?.[0] ?? "";
  return `${scheme}${MASK}${address.slice(at)}`;
}

/** An argument whose value is the address of a broker. */
const ADDRESS_ARGUMENT = /^((?:--?[\w-]+=)?nats\.url=|--nats=)(.*)$/s;
/** A flag whose next argument is such an address. */
const ADDRESS_FLAG = "--nats";

/** Returns the arguments of a program in a form that may be stored. */
export function maskArguments(args: readonly string[]): string[] {
  return args.map((arg, index) => {
    if (args[index - 1] === ADDRESS_FLAG) return maskAddress(arg);
    const [, flag, address] = ADDRESS_ARGUMENT.exec(arg) ?? [];
    return flag === undefined ? maskSecrets(arg) : flag + maskAddress(address);
  });
}
