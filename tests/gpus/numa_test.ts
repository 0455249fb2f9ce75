import assert from "node:assert/strict";
import { join } from "node:path";
import { numaNodeOf, parseCpuList } from "../../src/gpus/numa.ts";

Deno.test("numaNodeOf() finds the CPUs near a GPU, and says nothing where the kernel doesn't", async () => {
  const sys = await Deno.makeTempDir();
  const write = async (path: string, text: string) => {
    await Deno.mkdir(join(sys, path, ".."), { recursive: true });
    await Deno.writeTextFile(join(sys, path), text);
  };
  try {
    await write("bus/pci/devices/0000:3b:00.0/numa_node", "1\n");
    await write("bus/pci/devices/0000:5e:00.0/numa_node", "-1\n");
    await write("bus/pci/devices/0000:af:00.0/numa_node", "2\n");
    await write("devices/system/node/node1/cpulist", "4-6,12\n");
    assert.deepEqual(await numaNodeOf("00000000:3B:00.0", sys), { node: 1, cpus: [4, 5, 6, 12] });
    assert.deepEqual(await numaNodeOf("0000:3b:00.0", sys), { node: 1, cpus: [4, 5, 6, 12] });
    assert.equal(await numaNodeOf("00000000:5E:00.0", sys), undefined); // one node only
    assert.equal(await numaNodeOf("00000000:AF:00.0", sys), undefined); // no list
    assert.equal(await numaNodeOf("00000000:99:00.0", sys), undefined);
    assert.equal(await numaNodeOf("../../x", sys), undefined);
  } finally {
    await Deno.remove(sys, { recursive: true });
  }
});

Deno.test("parseCpuList() reads the kernel's lists and nothing else", () => {
  assert.deepEqual(parseCpuList("0\n"), [0]);
  assert.deepEqual(parseCpuList("0-2,8"), [0, 1, 2, 8]);
  for (const bad of ["", "a", "3-1", "0-", "1,,2", "0-99999"]) {
    assert.deepEqual(parseCpuList(bad), [], bad);
  }
});
