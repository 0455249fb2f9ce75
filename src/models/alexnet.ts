/**
 * AlexNet as torchvision builds it: the single-column variant of "One weird trick for parallelizing convolutional
 * neural networks" (Krizhevsky 2014, arXiv:1404.5997).
 *
 * @module
 */
import {
  type BuildOptions,
  conv,
  dropUnits,
  linear,
  maxPool,
  type Network,
  type Node,
  on,
  relu,
} from "./blocks.ts";
import { AdaptiveAverageFlatten } from "./pooling.ts";

const DROPOUT = 0.5;
const UNITS = 4096;

/** The network's graph on images [n, h, w, 3]. */
export function alexnet(input: Node, { head, dropout = DROPOUT }: BuildOptions): Network {
  const stem = { filters: 64, kernel: 11, stride: 4, padding: 2, bias: true };
  let x = relu("features.1", conv("features.0", input, stem));
  x = maxPool("features.2", x, 3);
  x = relu("features.4", conv("features.3", x, { filters: 192, kernel: 5, bias: true }));
  x = maxPool("features.5", x, 3);
  [384, 256, 256].forEach((filters, index) => {
    const number = 6 + 2 * index;
    x = conv(`features.${number}`, x, { filters, kernel: 3, bias: true });
    x = relu(`features.${number + 1}`, x);
  });
  x = maxPool("features.12", x, 3);
  x = on(new AdaptiveAverageFlatten({ name: "avgpool", bins: 6 }), x);
  x = dropUnits("classifier.0", x, dropout, 0);
  x = relu("classifier.2", linear("classifier.1", x, UNITS));
  x = dropUnits("classifier.3", x, dropout, 1);
  x = relu("classifier.5", linear("classifier.4", x, UNITS));
  return { logits: head("classifier.6", x) };
}
