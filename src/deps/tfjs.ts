/**
 * TensorFlow.js; import it by way of `engine/tf.ts`.
 *
 * @module
 */
export * from "npm:@tensorflow/tfjs@4.22.0";
