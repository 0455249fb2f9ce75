/**
 * Makes the certificates of the tests in `tests/fixtures/certificates`, with openssl; they hold for 100 years, but the one
 * that has expired.
 *
 * Run: `deno run -A scripts/make_certificates.ts`
 *
 * @module
 */
import { join } from "node:path";
import { PROJECT_ROOT } from "./files.ts";

const FOLDER = join(PROJECT_ROOT, "tests/fixtures/certificates");
const LOCAL = "DNS:localhost,IP:127.0.0.1";
const FOREVER = "21260101000000Z";
const BEGIN = "20260101000000Z";
const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** Server certificates: names that they are made out to, and the day after which they don't hold any more. */
const SERVERS: Record<string, { names: string; end: string }> = {
  server: { names: LOCAL, end: FOREVER },
  other_host: { names: "DNS:broker.example", end: FOREVER },
  expired: { names: LOCAL, end: "20260201000000Z" },
};

async function openssl(folder: string, args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args, cwd: folder }).output();
  if (!success) throw new Error(`openssl ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** A certificate that vouches for itself, with its key. */
async function selfSigned(folder: string, name: string, isCa: boolean): Promise<void> {
  const constraint = `basicConstraints=critical,CA:${isCa ? "TRUE" : "FALSE"}`;
  await openssl(folder, [
    ...["req", "-x509", ...EC, "-days", "36500", "-subj", `/CN=${name}`],
    ...["-addext", `subjectAltName=${LOCAL}`, "-addext", constraint],
    ...["-keyout", `${name}.key`, "-out", `${name}.pem`],
  ]);
}

/** A certificate that `ca` vouches for. */
async function signed(folder: string, name: string): Promise<void> {
  const { names, end } = SERVERS[name];
  await openssl(folder, [
    "req",
    ...EC,
    "-subj",
    `/CN=${name}`,
    "-keyout",
    `${name}.key`,
    "-out",
    "request",
  ]);
  await Deno.writeTextFile(
    join(folder, "ca.conf"),
    `[ca]\ndefault_ca=own\n[own]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\n` +
      `policy=any\nunique_subject=no\n[any]\ncommonName=supplied\n` +
      `[extensions]\nsubjectAltName=${names}\nbasicConstraints=critical,CA:FALSE\n`,
  );
  await openssl(folder, [
    ...["ca", "-batch", "-notext", "-config", "ca.conf", "-extensions", "extensions"],
    ...["-cert", "ca.pem", "-keyfile", "ca.key", "-startdate", BEGIN, "-enddate", end],
    ...["-in", "request", "-out", `${name}.pem`],
  ]);
}

if (import.meta.main) {
  const folder = await Deno.makeTempDir();
  await selfSigned(folder, "ca", true);
  await selfSigned(folder, "other_ca", true);
  await Deno.writeTextFile(join(folder, "index"), "");
  await Deno.writeTextFile(join(folder, "serial"), "01\n");
  for (const name of Object.keys(SERVERS)) await signed(folder, name);
  await Deno.mkdir(FOLDER, { recursive: true });
  const kept = [
    "ca.pem",
    "ca.key",
    "other_ca.pem",
    ...Object.keys(SERVERS).flatMap((name) => [`${name}.pem`, `${name}.key`]),
  ];
  for (const name of kept) await Deno.copyFile(join(folder, name), join(FOLDER, name));
  await Deno.remove(folder, { recursive: true });
}
