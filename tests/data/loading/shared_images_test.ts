import assert from "node:assert/strict";
import fc from "fast-check";
import type { ImageCache } from "../../../src/data/loading/image_cache.ts";
import {
  createSharedImages,
  leastSharedBytes,
  SharedImages,
} from "../../../src/data/loading/shared_images.ts";
import { noise } from "../noise.ts";

const ignore = Deno.build.os !== "linux";

Deno.test({
  name: "SharedImages shows to each rank what another one has kept, list by list",
  ignore,
  fn: () => {
    const shape = { bytes: 100_000, worldSize: 2, samples: 7 };
    using segment = createSharedImages(shape.bytes);
    const [first, second] = [0, 1].map((rank) => new SharedImages(segment.path, shape, rank));
    const image = noise(31, 17, 1), other = noise(5, 9, 2);
    assert.equal(second.listFrom(0).get(3), undefined);
    first.listFrom(0).put(3, image);
    second.listFrom(4).put(2, other); // the seventh sample
    assert.deepEqual(second.listFrom(0).get(3), image);
    assert.deepEqual(first.listFrom(4).get(2), other);
    assert.equal(first.listFrom(0).get(2), undefined);
    second.listFrom(0).put(3, other); // it is there already
    assert.deepEqual(first.listFrom(0).get(3), image);
    const watching = new SharedImages(segment.path, shape);
    assert.deepEqual(watching.use, {
      images: 2,
      bytes: 64 + 1600 + 64 + 192,
      hits: 3,
      misses: 2,
    });
  },
});

Deno.test({
  name: "SharedImages keeps what fits, gives back what it keeps, and never leaves its memory",
  ignore,
  fn: () => {
    const act = fc.record({
      rank: fc.nat(2),
      sample: fc.nat(11),
      width: fc.integer({ min: 1, max: 20 }),
      height: fc.integer({ min: 1, max: 20 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 6000 }),
        fc.array(act, { maxLength: 60 }),
        (more, acts) => {
          const parts = { worldSize: 3, samples: 12 };
          const shape = { ...parts, bytes: leastSharedBytes(parts) + more };
          using segment = createSharedImages(shape.bytes);
          const ranks = [0, 1, 2].map((rank) => new SharedImages(segment.path, shape, rank));
          const lists: ImageCache[] = ranks.map((rank) => rank.listFrom(0));
          const kept = new Map<number, ReturnType<typeof noise>>();
          for (const { rank, sample, width, height } of acts) {
            const image = noise(width, height, sample + 20 * width + 400 * height);
            const fits = lists[rank].hasRoom(image.data.length);
            lists[rank].put(sample, image);
            if (fits && !kept.has(sample)) kept.set(sample, image);
            for (const list of lists) assert.deepEqual(list.get(sample), kept.get(sample));
          }
          for (let sample = 0; sample < parts.samples; sample++) {
            assert.deepEqual(lists[sample % 3].get(sample), kept.get(sample));
          }
          const { images, bytes } = ranks[0].use;
          assert.equal(images, kept.size);
          assert.ok(bytes <= shape.bytes);
        },
      ),
      { numRuns: 60 },
    );
  },
});

Deno.test({
  name: "leastSharedBytes() leaves each rank room for one pixel, and a byte less doesn't",
  ignore,
  fn: () => {
    const parts = { worldSize: 3, samples: 1000 };
    for (const [less, hasRoom] of [[0, true], [1, false]] as const) {
      const shape = { ...parts, bytes: leastSharedBytes(parts) - less };
      using segment = createSharedImages(shape.bytes);
      assert.equal(new SharedImages(segment.path, shape, 2).listFrom(0).hasRoom(3), hasRoom);
    }
  },
});
