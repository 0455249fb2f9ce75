/** A short run as a reporter sees it; terminal_reporter_test.ts plays it in a real pseudo-terminal. */
import { setTimeout as delay } from "node:timers/promises";
import { terminalReporter } from "../../src/terminal/terminal_reporter.ts";

const epochs = 3;
const total = 214;
const pace = Number(Deno.args[0] ?? 20);
const reporter = terminalReporter({ verbose: Deno.args.includes("--verbose") });
for (let bytes = 0; bytes <= 6_000_000; bytes += 1_000_000) {
  reporter.download({ what: "nats-server 2.15.1", bytes, totalBytes: 6_000_000 });
  await delay(pace);
}
reporter.download({ what: "nats-server 2.15.1", note: "unpacked" });
reporter.info("Learning 2 of 213 parameters: classifier.weight, classifier.bias");
for (let epoch = 1; epoch <= epochs; epoch++) {
  reporter.phase({ name: "train", epoch, epochs, total });
  for (let done = 0; done <= total; done += 32) {
    reporter.progress({ done: Math.min(done, total), loss: 2 / (epoch + done / total) });
    if (epoch === 2 && done === 64) reporter.warn("Skipped fruits/broken.jpg: not an image");
    if (done === 64 && Deno.args.includes("--exit")) Deno.exit(130);
    if (done === 96) {
      reporter.workerLine(epoch % 2, `step ${done} of \x1b[31mepoch\x1b[0m ${epoch}`);
    }
    await delay(pace);
  }
  reporter.phase({ name: "validate", epoch, epochs, total: 57 });
  for (let done = 0; done <= 57; done += 19) {
    reporter.progress({ done });
    await delay(pace);
  }
  const record = {
    epoch,
    learningRate: 0.01,
    train: { loss: 1.2 / epoch, accuracy: 0.6 + epoch / 10 },
    validation: { loss: 0.8 / epoch, accuracy: 0.7 + epoch / 20, count: 57 },
    seconds: 4.21,
    imagesPerSecond: 63.2,
  };
  reporter.epochDone(record, epochs, epoch !== 2);
}
if (Deno.args.includes("--fail")) reporter.workerFailed(1);
reporter.summary({ seconds: 13.4, bestAccuracy: 0.85, bestEpoch: 3, folder: "runs/x-food" });
reporter.close();
