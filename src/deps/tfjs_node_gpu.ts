/**
 * The kernels and the backend of tfjs-node-gpu, without its native addon: importing this registers the kernels.
 *
 * @module
 */
import "npm:/@tensorflow/tfjs-node-gpu@4.22.0/dist/register_all_kernels.js";
import backend from "npm:/@tensorflow/tfjs-node-gpu@4.22.0/dist/nodejs_kernel_backend.js";

export const { NodeJSKernelBackend } = backend;
