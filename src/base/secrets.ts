/**
 * Passwords and tokens that this process was given: none of them may be shown or kept.
 *
 * @module
 */

/** What stands for a secret. */
export const MASK = "***";

/** Shorter ones would be found in words that have nothing to do with them. */
const MIN_LENGTH = 4;

const secrets = new Set<string>();

/** Credentials of a broker's address: all up to the last `@` before a space or quote, as a password may hold `@` and `/`. */
const BROKER_CREDENTIALS = /(\b(?:nats|tls|wss?):\/\/)[^\s"'<>]*@(?=[\w[.-])/gi;
/** Credentials of any other address; an `@` in its path belongs to a name. */
const CREDENTIALS = /(\b[a-z][a-z\d+.-]*:\/\/)[^\s"'<>/]*@(?=[\w[.-])/gi;

/** Makes {@linkcode maskSecrets} mask a text from now on, also in the form that it has in an address. */
export function keepSecret(text: string): void {
  for (const form of [text, encodeURIComponent(text)]) {
    if (form.length >= MIN_LENGTH) secrets.add(form);
  }
}

/** A text with `***` in the place of known secrets and of the credentials of addresses. */
export function maskSecrets(text: string): string {
  let masked = text.replace(BROKER_CREDENTIALS, `$1${MASK}@`).replace(CREDENTIALS, `$1${MASK}@`);
  for (const secret of secrets) masked = masked.replaceAll(secret, MASK);
  return masked;
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
