/**
 * The checks of the GPU smoke test, in the order in which they run: one line each.
 *
 * @module
 */
import type { SmokeCheck } from "./check.ts";
import { CHECK as libraries } from "./checks/libraries.ts";
import { CHECK as devices } from "./checks/devices.ts";
import { CHECK as compilation } from "./checks/compilation.ts";
import { CHECK as cards } from "./checks/cards.ts";
import { CHECK as copies } from "./checks/copies.ts";
import { CHECK as nccl } from "./checks/nccl.ts";
import { CHECK as ops } from "./checks/ops.ts";
import { CHECK as gradients } from "./checks/gradients.ts";
import { CHECK as losses } from "./checks/losses.ts";
import { CHECK as repeat } from "./checks/repeat.ts";
import { CHECK as workers } from "./checks/workers.ts";
import { CHECK as ncclSteps } from "./checks/nccl_steps.ts";
import { CHECK as precisions } from "./checks/precisions.ts";
import { CHECK as speed } from "./checks/speed.ts";
import { CHECK as pytorch } from "./checks/pytorch.ts";
import { CHECK as loader } from "./checks/loader.ts";

/** All checks. A check may read the results of those before it. */
export const CHECKS: readonly SmokeCheck[] = [
  libraries,
  devices,
  compilation,
  cards,
  copies,
  nccl,
  ops,
  gradients,
  losses,
  repeat,
  workers,
  ncclSteps,
  pytorch,
  speed,
  precisions,
  loader,
];
