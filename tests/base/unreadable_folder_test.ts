import assert from "node:assert/strict";
import { join } from "node:path";
import { describeUnreadableFolder } from "../../src/base/unreadable_folder.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

Deno.test("describeUnreadableFolder() names the cure that fits what stands in the folder's place", () =>
  withTemporaryFolder(async (folder) => {
    const loop = join(folder, "loop");
    await Deno.symlink("loop", loop);
    for (
      const [path, expected] of [
        ["/dev/null", '"x" is no folder: name a folder of images'],
        [
          loop,
          `Folder "x" can't be read: symbolic links lead in a circle; remove one of the links`,
        ],
        [
          join(folder, "n".repeat(300)),
          `Folder "x" can't be read: the name is too long for the file system; choose a shorter name or path`,
        ],
      ]
    ) {
      const error = await Array.fromAsync(Deno.readDir(path)).catch((thrown) => thrown);
      assert.equal(describeUnreadableFolder('"x"', error), expected);
    }
    assert.equal(
      describeUnreadableFolder('"x"', new Deno.errors.PermissionDenied("open (os error 13)")),
      `Folder "x" can't be read: permission is denied; mend its access rights`,
    );
  }));
