import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import { tf } from "../../src/engine/tf.ts";
import { makeTargets, type MixedLabels, type TargetOptions } from "../../src/optim/loss.ts";
import { TargetForm } from "../../src/train/target_form.ts";

await openEngine();

const LABELS = Int32Array.of(0, 2, 4, 3, 2, 1);
const PARTNERS = Int32Array.of(1, 2, 0, 3, 4, 1); // two of them have the same label
const MIXES: (MixedLabels | undefined)[] = [
  undefined,
  ...[0.37, 0.5, 0.81].map((share) => ({ partnerLabels: PARTNERS, share })),
];

function bothForms(options: TargetOptions, mix: MixedLabels | undefined) {
  const form = new TargetForm(options, true);
  const batch = { labels: LABELS, mix };
  const device = tf.tidy(() => {
    const { labels, distributions, scales } = form.read(form.inputs(batch), LABELS.length);
    assert.equal(labels.dtype, "int32");
    return {
      labels: labels.dataSync(),
      distributions: distributions.dataSync(),
      scales: scales.dataSync(),
      weight: form.weightOf(batch),
    };
  });
  return { device, host: makeTargets(LABELS, options, mix) };
}

Deno.test("targets that the device makes of labels have the bits of makeTargets()", () => {
  for (const labelSmoothing of [0, 0.1, 0.37]) {
    for (const mix of MIXES) {
      const { device, host } = bothForms({ numClasses: 7, labelSmoothing }, mix);
      assert.deepEqual(device, { ...host, labels: Int32Array.from(host.labels) });
    }
  }
});

Deno.test("with class weights, of which some are 0, the device's targets differ in last bits only", () => {
  const classWeights = [0, 3, 0.3, 0, 1e-3, 2, 5];
  for (const labelSmoothing of [0, 0.1]) {
    for (const mix of MIXES) {
      const { device, host } = bothForms({ numClasses: 7, labelSmoothing, classWeights }, mix);
      assert.deepEqual([...device.labels], [...host.labels]);
      assert.equal(device.weight, host.weight);
      for (const key of ["distributions", "scales"] as const) {
        host[key].forEach((value, index) => {
          const error = Math.abs(device[key][index]! - value);
          assert.ok(
            error <= 2e-7 * Math.abs(value),
            `${key} ${index}: ${device[key][index]} ${value}`,
          );
        });
      }
    }
  }
});
