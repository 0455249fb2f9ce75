import { terminalReporter, train } from "@lockstep/lockstep";

const transforms = [
  { CenterCrop: 24 },
  { Normalize: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] } },
];

const { folder, history, loadBest } = await train({
  name: "bars",
  workers: 2,
  model: { module: import.meta.resolve("./model.ts") },
  data: {
    module: import.meta.resolve("./data.ts"),
    train: ["RandomHorizontalFlip", ...transforms],
    val: transforms,
  },
  train: {
    epochs: 8,
    batchSize: 16,
    lr: 0.02,
    lossModule: import.meta.resolve("./loss.ts"),
    earlyStopping: { metric: "loss", patience: 4 },
  },
  validate: { metricsModule: import.meta.resolve("./metrics.ts") },
  checkpoint: { monitor: "certainty", everyEpochs: 2, keep: 3 },
}, {
  reporter: terminalReporter({ verbose: false }),
  onStep: ({ epoch, step, loss }) => {
    if (loss > 10) throw new Error(`The loss of epoch ${epoch}, step ${step} is ${loss}`);
  },
  onEpoch: ({ metrics }) => metrics!.certainty > 0.9 ? "stop" : undefined,
});

const { model, classes } = await loadBest();
console.log(`${folder}: ${classes.join(" or ")}, ${model.countParams()} parameters`);
console.log(`${history.epochs.length} epochs, ${history.stopped?.reason ?? "to the end"}`);
