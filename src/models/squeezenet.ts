/**
 * SqueezeNet 1.0 and 1.1 as torchvision builds them (Iandola et al. 2016, arXiv:1602.07360; 1.1 pools earlier and
 * has a smaller first convolution). The last layer is a convolution.
 *
 * @module
 */
import {
  averagePool,
  type BuildOptions,
  concat,
  conv,
  dropUnits,
  type Network,
  type Node,
  on,
  relu,
} from "./blocks.ts";
import { CeilMaxPool } from "./pooling.ts";

interface Version {
  readonly stem: { readonly filters: number; readonly kernel: number };
  /** `features.2` and all that follow: max pools, and fire modules by the channels of each half they give. */
  readonly features: readonly (number | "pool")[];
}

const VERSION_1_0: Version = {
  stem: { filters: 96, kernel: 7 },
  features: ["pool", 64, 64, 128, "pool", 128, 192, 192, 256, "pool", 256],
};
const VERSION_1_1: Version = {
  stem: { filters: 64, kernel: 3 },
  features: ["pool", 64, 64, "pool", 128, 128, "pool", 192, 192, 256, 256],
};
const DROPOUT = 0.5;

/** SqueezeNet 1.0's graph on images [n, h, w, 3]. */
export function squeezenet10(input: Node, options: BuildOptions): Network {
  return squeezenet(input, options, VERSION_1_0);
}

/** SqueezeNet 1.1's graph on images [n, h, w, 3]. */
export function squeezenet11(input: Node, options: BuildOptions): Network {
  return squeezenet(input, options, VERSION_1_1);
}

function squeezenet(
  input: Node,
  { classes, dropout = DROPOUT }: BuildOptions,
  { stem, features }: Version,
): Network {
  let x = conv("features.0", input, { ...stem, stride: 2, padding: 0, bias: true });
  x = relu("features.1", x);
  features.forEach((feature, index) => {
    const name = `features.${index + 2}`;
    x = feature === "pool"
      ? on(new CeilMaxPool({ name, size: 3, stride: 2 }), x)
      : fire(name, x, feature);
  });
  x = dropUnits("classifier.0", x, dropout, 0);
  x = conv("classifier.1", x, { filters: classes, kernel: 1, bias: true });
  return { logits: averagePool("classifier.3", relu("classifier.2", x)) };
}

/** Narrows to a quarter of `half` channels, then gives twice `half`. */
function fire(name: string, x: Node, half: number): Node {
  const part = (own: string, input: Node, filters: number, kernel: number) => {
    const y = conv(`${name}.${own}`, input, { filters, kernel, bias: true });
    return relu(`${name}.${own}_activation`, y);
  };
  const squeezed = part("squeeze", x, half / 4, 1);
  return concat(`${name}.concat`, [
    part("expand1x1", squeezed, half, 1),
    part("expand3x3", squeezed, half, 3),
  ]);
}
