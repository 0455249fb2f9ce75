/**
 * Learning-rate schedules, with the semantics of `torch.optim.lr_scheduler`.
 *
 * @module
 */
import type { ScheduleConfig } from "./config.ts";

/**
 * The learning rate of an epoch.
 *
 * `StepLR` decays by `gamma` every `stepSize` epochs, as `torch.optim.lr_scheduler.StepLR` does when it
 * is stepped once per epoch: a function of the epoch alone, so that a resumed run needs no scheduler state.
 *
 * @param config The schedule
 * @param baseRate `train.lr`
 * @param epoch Epoch, counted from 1
 */
export function learningRateAt(config: ScheduleConfig, baseRate: number, epoch: number): number {
  switch (config.name) {
    case "constant":
      return baseRate;
    case "StepLR":
      return baseRate * config.gamma ** Math.floor((epoch - 1) / config.stepSize);
  }
}
