import assert from "node:assert/strict";
import { join } from "node:path";
import { wonAtLeastOnce } from "./at_once.ts";
import { eventually } from "./eventually.ts";
import { cannotUseNamespaces, type Hosts, startHosts } from "./namespaces.ts";
import { descendantsOf, isRunning } from "./processes.ts";
import { measureRate } from "./tcp_rate.ts";
import { withTemporaryFolder } from "./temporary_folder.ts";
import { startProcess } from "./tiny_run.ts";

const problem = cannotUseNamespaces();
if (problem) console.log(`Skipped: no hosts in namespaces: ${problem}`);
const relayProblem = problem ?? cannotUseNamespaces({ relay: true });
if (relayProblem && !problem) console.log(`Skipped: no relay of frames: ${relayProblem}`);

const shell = async (hosts: Hosts, host: number, script: string) => {
  const { code, stdout } = await hosts.run(host, ["bash", "-c", script]);
  return { code, text: stdout.trim() };
};

/** Tells whether a connection to another host, to a port where nobody listens, is refused within a second. */
const reaches = async (hosts: Hosts, from: number, to: number) => {
  const { address } = hosts.hosts[to]!;
  const { code } = await shell(hosts, from, `timeout 1 bash -c 'echo > /dev/tcp/${address}/9'`);
  return code !== 124;
};

Deno.test({
  name: "startHosts() gives hosts of their own, joined by shaped cables",
  ignore: problem !== undefined,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      await using hosts = await startHosts(3, { folder, rateMbit: 100 });
      await Deno.writeTextFile(join(hosts.shared, "data"), "shared");
      await shell(
        hosts,
        1,
        "echo one > /tmp/own; echo segment > /dev/shm/segment; sleep 60 >/dev/null 2>&1 &",
      );
      const seen =
        `hostname; cat ${hosts.shared}/data; echo; ls /tmp /dev/shm; ls /proc | grep -c '^[0-9]'`;
      const [zero, one] = [await shell(hosts, 0, seen), await shell(hosts, 1, seen)];
      assert.match(zero.text, /^host0\nshared\n\/dev\/shm:\n\n\/tmp:\n(.*\n)+\d+$/);
      assert.match(one.text, /^host1\nshared\n\/dev\/shm:\nsegment\n\n\/tmp:\n(.*\n)*own\n\d+$/);
      assert.ok(Number(zero.text.split("\n").at(-1)) < 10, "processes of other hosts are not seen");
      assert.equal(await Deno.readTextFile(join(hosts.hosts[1]!.folder, "own")), "one\n");

      await wonAtLeastOnce(async () => {
        const { bytesPerSecond } = await measureRate(hosts, 0, 2, 12_000_000);
        console.log(`100 Mbit/s by plain TCP: ${(bytesPerSecond / 1e6).toFixed(2)} MB/s`);
        assert.ok(bytesPerSecond < 12.5e6, `${bytesPerSecond} bytes/s`);
        return bytesPerSecond > 11e6;
      });

      const isReached = (from: number, to: number) =>
        eventually(async () => assert.ok(await reaches(hosts, from, to)));
      await isReached(0, 1);
      await hosts.part(1);
      assert.ok(!await reaches(hosts, 0, 1));
      await isReached(0, 2);
      await hosts.heal(1);
      await isReached(0, 1);
      await hosts.block(0, 1);
      assert.ok(!await reaches(hosts, 0, 1));
      await isReached(1, 2);
      await isReached(0, 2);
      await hosts.unblock(0, 1);
      await isReached(1, 0);

      const stopped = hosts.start(2, [
        "sh",
        "-c",
        'trap "echo got it; exit 7" TERM; echo up; while :; do sleep 0.05; done',
      ]);
      await stopped.seen(/up/);
      stopped.kill("SIGTERM");
      const { code, stdout } = await stopped.result;
      assert.deepEqual({ code, stdout }, { code: 7, stdout: "up\ngot it\n" });

      const victim = hosts.start(2, ["sleep", "60"]);
      let inside: number[] = [];
      await eventually(async () => {
        inside = await descendantsOf(victim.pid);
        assert.equal(inside.length, 1);
      });
      await hosts.kill(2);
      await victim.result;
      assert.ok(!await isRunning(inside[0]!));
      assert.ok(!await reaches(hosts, 0, 2));
      await hosts.restart(2);
      await isReached(0, 2);
    }),
});

Deno.test({
  name: "startHosts() delays and loses frames by a relay, as a user without rights",
  ignore: relayProblem !== undefined,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const userNamespace =
        (await new Deno.Command("unshare", { args: ["-Ur", "true"] }).output()).success;
      await using hosts = await startHosts(2, {
        folder,
        delayMs: 5,
        lossRate: 0.02,
        userNamespace,
      });
      const echo = `for i in 1 2 3 4 5 6 7 8 9 10; do echo > /dev/tcp/${
        hosts.hosts[1]!.address
      }/9; done 2>/dev/null; true`;
      await hosts.setCable(0, { delayMs: 20, lossRate: 0 });
      await hosts.setCable(1, { delayMs: 5, lossRate: 0 });
      await shell(hosts, 0, echo);
      await wonAtLeastOnce(async () => {
        const start = performance.now();
        await shell(hosts, 0, echo);
        const roundTrip = (performance.now() - start) / 10;
        console.log(`10 refused connections, ${roundTrip.toFixed(1)} ms each`);
        assert.ok(roundTrip >= 50, `${roundTrip} ms`);
        return roundTrip < 75;
      });
      await hosts.setCable(0, { delayMs: 0, lossRate: 0.02 });
      await measureRate(hosts, 0, 1, 2_000_000);
      const { text } = await shell(hosts, 0, `grep '^Tcp:' /proc/net/snmp`);
      const [names, values] = text.split("\n").map((line) => line.split(" "));
      assert.ok(Number(values![names!.indexOf("RetransSegs")]) > 3, text);
    }),
});

Deno.test({
  name: "startHosts() leaves nothing behind when its process is killed",
  ignore: problem !== undefined,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const program = `
        import { startHosts } from ${
        JSON.stringify(new URL("namespaces.ts", import.meta.url).href)
      };
        const hosts = await startHosts(2, { folder: ${JSON.stringify(folder)} });
        hosts.start(1, ["sleep", "60"]);
        await new Promise((resolve) => setTimeout(resolve, 200));
        console.log("up");
        await new Promise(() => {});`;
      const file = join(folder, "program.ts");
      await Deno.writeTextFile(file, program);
      const config = new URL("../../deno.json", import.meta.url).pathname;
      await using test = startProcess(
        [Deno.execPath(), "run", "--quiet", "--no-check", "--allow-all", "--config", config, file],
        {},
      );
      await test.seen(/up/);
      const started = await descendantsOf(test.pid);
      assert.ok(started.length >= 5, `${started.length} processes`);
      test.kill("SIGKILL");
      await test.result;
      await eventually(async () => {
        for (const pid of started) assert.ok(!await isRunning(pid), `process ${pid} is left`);
      });
      const { stdout } = await new Deno.Command("sh", {
        args: ["-c", `ip -o link; grep ${folder} /proc/self/mounts`],
      }).output();
      const left = new TextDecoder().decode(stdout);
      assert.ok(!/port\d|switch/.test(left) && !left.includes(folder), left);
    }),
});
