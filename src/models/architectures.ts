/**
 * The list of architectures: each file exports the declarations of a family, under the names that `model.name` takes.
 *
 * @module
 */
export * from "./architectures/alexnet.ts";
export * from "./architectures/densenet.ts";
export * from "./architectures/efficientnet_lite.ts";
export * from "./architectures/inception.ts";
export * from "./architectures/mobilenet.ts";
export * from "./architectures/plain_cnn.ts";
export * from "./architectures/resnet.ts";
export * from "./architectures/squeezenet.ts";
export * from "./architectures/vgg.ts";
