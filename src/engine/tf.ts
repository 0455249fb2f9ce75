/**
 * The one door to TensorFlow.js: its API, whose ops run on our engine after `openEngine()`.
 *
 * @module
 */
import * as tf from "../deps/tfjs.ts";

export { tf };

/** The API of TensorFlow.js (4.22), as modules of a user's own get it. */
export type TensorFlow = typeof import("../deps/tfjs.ts");

/** A model of TensorFlow.js's layers: functional or sequential. */
export type LayersModel = InstanceType<TensorFlow["LayersModel"]>;

/** A tensor of any rank. */
export type Tensor = InstanceType<TensorFlow["Tensor"]>;

/** A vector. */
export type Tensor1D = ReturnType<TensorFlow["tensor1d"]>;

/** A matrix. */
export type Tensor2D = ReturnType<TensorFlow["tensor2d"]>;
