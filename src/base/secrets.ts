/**
 * Passwords and tokens that this process was given: none of them may be shown or kept.
 *
 * @module
 */

/** The text that stands for a secret. */
export const MASK = "***";

/** Shorter ones would be found in words that have nothing to do with them. */
const MIN_LENGTH = 4;

const secrets = new Set<string>();

/**
 * Credentials of a broker's address: all up to the last `@` before a space or quote, as a password may hold `@` and `/`.
 * They are sought within bounds, so that no text takes time without bounds.
 */
const BROKER_CREDENTIALS = /((?:nats|tls|wss?):\/\/)[^\s"'<>]{0,2048}@(?=[\w[.-])/gi;
/** Credentials of any other address; an `@` in its path belongs to a name. */
const CREDENTIALS = /(:\/\/)[^\s"'<>/]{0,2048}@(?=[\w[.-])/g;

/** Makes {@linkcode maskSecrets} mask a text from now on, also in the form that it has in an address. */
export function keepSecret(text: string): void {
  for (const form of [text, encodeURIComponent(text)]) {
    if (form.length >= MIN_LENGTH) secrets.add(form);
  }
}

/** A text with `***` in the place of known secrets and of the credentials of addresses. */
export function maskSecrets(text: string): string {
  let masked = maskCredentials(text);
  for (const secret of secrets) masked = masked.replaceAll(secret, MASK);
  return masked;
}

/** A text with `***` in the place of the credentials of addresses: for what older versions kept in files. */
export function maskCredentials(text: string): string {
  if (!text.includes("://")) return text;
  return text.replace(BROKER_CREDENTIALS, `$1${MASK}@`).replace(CREDENTIALS, `$1${MASK}@`);
}

/**
 * A value's JSON, with {@linkcode maskRunText} applied to each text.
 *
 * @param config That of the run that the value is of, where it is of one
 */
export function maskedJson(value: unknown, config?: unknown): string {
  return JSON.stringify(
    value,
    (_key, each) => typeof each === "string" ? maskRunText(each, config) : each,
  );
}

/**
 * A text of a run folder as {@linkcode maskCredentials} gives it, without the credentials of the run's nats-server
 * wherever its address stands.
 *
 * @param config The run's config, of any version
 */
export function maskRunText(text: string, config: unknown): string {
  const address = (config as { nats?: { url?: unknown } } | undefined)?.nats?.url;
  const known = typeof address === "string" && address.includes("@") &&
    address !== maskAddress(address);
  return maskCredentials(known ? text.replaceAll(address, maskAddress(address)) : text);
}

/** An address, with or without a scheme, with `***` in the place of its credentials. */
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

/** The arguments of a program as they may be kept. */
export function maskArguments(args: readonly string[]): string[] {
  return args.map((arg, index) => {
    if (args[index - 1] === ADDRESS_FLAG) return maskAddress(arg);
    const [, flag, address] = ADDRESS_ARGUMENT.exec(arg) ?? [];
    return flag === undefined ? maskSecrets(arg) : flag + maskAddress(address);
  });
}
