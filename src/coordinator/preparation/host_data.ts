/**
 * The images and modules of a run on its other hosts: each host compares what it has before its workers start, or fetches
 * the images from this one.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { hostname } from "node:os";
import { makeManifest, packManifest } from "../../data/hosts/manifest.ts";
import { type FileServer, serveFiles } from "../../data/hosts/file_server.ts";
import { given } from "../../base/given.ts";
import { freePortFrom } from "../../hosts/data_server.ts";
import type { RemoteHost } from "../../hosts/remote_host.ts";
import { makeMessageKey } from "../../protocol/authentication.ts";
import { OWN_CERTIFICATE_NAME } from "../../protocol/fingerprint.ts";
import { hashModuleFiles } from "../../train/host_modules.ts";
import type { PreparedRun } from "./prepare.ts";

/** The certificate itself, where nobody else vouches for it. */
function selfMade({ name, certificate }: { name: string; certificate: string }) {
  return name === OWN_CERTIFICATE_NAME ? certificate : undefined;
}

/** Bytes of a packed manifest that go in one call. */
const PART_BYTES = 256 * 1024;

/** The images of a run, for its other hosts. */
export interface HostData extends AsyncDisposable {
  /**
   * Has a host compare its images and modules, or fetch the images.
   *
   * @throws {LockstepError} when they differ, or can't be fetched
   */
  readonly check: (host: RemoteHost) => Promise<void>;
}

/**
 * Lists a run's images, and serves them where other hosts are to fetch them.
 *
 * @returns Nothing where a run has no other hosts
 * @throws {UsageError} when they can't be fetched
 */
export async function openHostData(
  { config, dataset, job, listening }: Pick<
    PreparedRun,
    "config" | "dataset" | "job" | "listening"
  >,
  signal: AbortSignal | undefined,
): Promise<HostData | undefined> {
  if (!listening) return undefined;
  const { data } = config;
  const manifest = await makeManifest(dataset, { data, hostname: hostname(), signal });
  const packed = Buffer.from(await packManifest(manifest));
  const modules = await hashModuleFiles(config);
  const { host, tls, addresses, firstPort } = listening;
  const port = data.hosts === "fetch" ? await freePortFrom(firstPort, host) : undefined;
  const server: FileServer | undefined = data.hosts === "fetch"
    ? serveFiles(manifest, {
      ...{
        root: job.root,
        runKey: makeMessageKey(),
        listen: { hostname: host, ...given("port", port) },
      },
      ...(tls
        ? {
          tls: {
            ...{ certificate: tls.certificate, key: tls.key, serverName: tls.name },
            ...given("authority", tls.ca ?? selfMade(tls)),
          },
        }
        : {}),
    })
    : undefined;
  const source = server?.source(addresses) ?? null;
  return {
    check: async (host) => {
      for (let begin = 0; begin < packed.length; begin += PART_BYTES) {
        const part = packed.subarray(begin, begin + PART_BYTES).toString("base64");
        await host.call("manifestPart", { begin, part });
      }
      await host.call("prepareData", {
        config: JSON.parse(JSON.stringify(config)),
        modules: JSON.parse(JSON.stringify(modules)),
        source: JSON.parse(JSON.stringify(source)),
      });
    },
    [Symbol.asyncDispose]: async () => await server?.[Symbol.asyncDispose](),
  };
}
