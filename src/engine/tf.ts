/**
 * The one door to TensorFlow.js: its API, whose ops run on our engine after `openEngine()`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";

export { tf };
