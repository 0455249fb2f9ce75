/**
 * TensorFlow.js for browsers, as one classic script.
 *
 * @module
 */
import bundle from "npm:/@tensorflow/tfjs@4.22.0/dist/tf.es2017.min.js" with { type: "text" };

/** Text of the script. */
export const TFJS_BUNDLE: string = bundle;
