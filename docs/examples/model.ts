import type { CreateUserModel } from "@lockstep/lockstep";

/** A small convolutional network for small images. */
export const createModel: CreateUserModel = ({ inputShape, numClasses }, tf) =>
  tf.sequential({
    layers: [
      tf.layers.conv2d({
        inputShape: [...inputShape],
        filters: 16,
        kernelSize: 3,
        activation: "relu",
      }),
      tf.layers.maxPooling2d({ poolSize: 2 }),
      tf.layers.conv2d({ filters: 32, kernelSize: 3, activation: "relu" }),
      tf.layers.globalAveragePooling2d({ dataFormat: "channelsLast" }),
      tf.layers.dropout({ rate: 0.1 }),
      tf.layers.dense({ name: "head", units: numClasses }),
    ],
  });
