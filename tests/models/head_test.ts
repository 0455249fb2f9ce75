import assert from "node:assert/strict";
import { UsageError } from "../../src/base/errors.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { createModel, type ModelOptions } from "../../src/models/create_model.ts";
import { type HeadInput, headSchema } from "../../src/models/head_specs.ts";
import { classesOf } from "../../src/models/heads.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { loadStateDict } from "../../src/models/state_dict.ts";

await openEngine();

const CATDOG: HeadInput = [{ Linear: [64, 20] }, "ReLU", { Dropout: 0.2 }, {
  Linear: "classes",
}, "LogSoftmax"];

function withModel<T>(
  options: Omit<ModelOptions, "head"> & { head?: HeadInput },
  use: (model: ReturnType<typeof createModel>) => T,
): T {
  const { head, ...rest } = options;
  const model = createModel("plain_cnn", {
    ...rest,
    ...(head ? { head: headSchema.parse(head) } : {}),
  });
  try {
    return use(model);
  } finally {
    model.dispose();
  }
}

Deno.test("createModel() builds a head of layers, named as in an nn.Sequential", () =>
  withModel({ numClasses: 3, head: CATDOG, featureExtract: true }, (model) => {
    assert.equal(classesOf(model), 3);
    const learning = parametersOf(model).filter(({ trainable, buffer }) => trainable && !buffer);
    assert.deepEqual(learning.map(({ name, torchShape }) => [name, torchShape]), [
      ["fc.0.weight", [20, 64]],
      ["fc.0.bias", [20]],
      ["fc.3.weight", [3, 20]],
      ["fc.3.bias", [3]],
    ]);
  }));

for (
  const [what, head, message] of [
    [
      "inputs",
      [{ Linear: [1024, 20] }, { Linear: 3 }],
      /model\.head\[0\]: Linear takes 1024 features, but 64 come in/,
    ],
    [
      "classes",
      [{ Linear: 20 }, "ReLU", { Linear: 2 }],
      /model\.head\[2\]: the last Linear gives 2 outputs, but there are 3 classes/,
    ],
  ] as const
) {
  Deno.test(`createModel() refuses a head whose ${what} don't fit`, () => {
    assert.throws(
      () => withModel({ numClasses: 3, head: [...head] as HeadInput }, () => {}),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  });
}

Deno.test("createModel() refuses a head of layers where the last layer is a convolution", () => {
  const head = headSchema.parse([{ Linear: "classes" }]);
  assert.throws(
    () => createModel("squeezenet1_0", { numClasses: 3, head }),
    /the last layer of squeezenet1_0, classifier\.1, is a convolution/,
  );
});

Deno.test("headSchema names unknown layers, wrong arguments and a misplaced LogSoftmax", () => {
  const messageOf = (head: unknown) => headSchema.safeParse(head).error!.issues[0].message;
  assert.match(messageOf([{ Linaer: 5 }]), /unknown layer Linaer: did you mean Linear\?/);
  assert.match(messageOf([{ Linear: [1, 2, 3] }]), /unknown argument third of Linear/);
  assert.match(messageOf([{ Linear: 0 }]), /give at least 1 feature/);
  assert.match(messageOf([{ Dropout: 1 }, { Linear: 3 }]), /give a share below 1/);
  assert.match(messageOf(["LogSoftmax", { Linear: 3 }]), /write it last/);
  assert.match(messageOf(["ReLU"]), /needs a Linear layer/);
});

Deno.test("createModel() lets only the named parameters learn, and names a pattern that fits none", () => {
  withModel({ numClasses: 3, train: ["conv3.*", "fc.bias"] }, (model) => {
    const names = parametersOf(model).filter(({ trainable }) => trainable).map(({ name }) => name);
    assert.deepEqual(names, ["conv3.weight", "conv3.bias", "fc.bias"]);
  });
  assert.throws(
    () => withModel({ numClasses: 3, train: ["layer4.*"] }, () => {}),
    /model\.train: the pattern "layer4\.\*" matches no parameter of plain_cnn, whose layers are conv1\.\*, conv2\.\*, conv3\.\*, fc\.\*/,
  );
});

Deno.test("createModel() runs BatchNorm in eval mode where its own parameters are frozen", () => {
  const statisticsOf = (options: Partial<ModelOptions>) => {
    const model = createModel("resnet18", { numClasses: 2, ...options });
    const moving = parametersOf(model).filter(({ buffer, trainable }) => buffer && trainable);
    model.dispose();
    return new Set(moving.map(({ name }) => name.slice(0, name.indexOf("."))));
  };
  assert.deepEqual([...statisticsOf({ train: ["layer4.*", "fc.*"] })], ["layer4"]);
  assert.deepEqual([...statisticsOf({ featureExtract: true })], []);
  assert.deepEqual([...statisticsOf({ freezeBatchNorm: true })], []);
  assert.equal(statisticsOf({ featureExtract: true, freezeBatchNorm: false }).size, 5);
});

Deno.test("loadStateDict() leaves another head as it was drawn, if it may, and says which", () =>
  withModel({ numClasses: 1000 }, (published) => {
    const state = new Map(
      parametersOf(published).map(({ name, torchShape, variable }) => [
        name,
        { shape: torchShape, read: () => new Float32Array(variable.size).fill(0.5) },
      ]),
    );
    withModel({ numClasses: 3, head: CATDOG }, (model) => {
      const options = { source: "the file", heads: ["fc"] };
      assert.throws(
        () => loadStateDict(model, state, { ...options, replaceHead: false }),
        /the file is a network of 1000 classes, and 3 are needed \(missing: fc\.0\.weight, .*unexpected: fc\.weight, fc\.bias\): set model\.replaceHead/,
      );
      const report = loadStateDict(model, state, { ...options, replaceHead: true });
      assert.deepEqual(report, { loaded: 6, freshHeads: ["fc"], replacedHeadClasses: 1000 });
      const [conv] = parametersOf(model);
      assert.deepEqual([...conv.variable.dataSync().slice(0, 2)], [0.5, 0.5]);
      state.delete("conv2.bias");
      assert.throws(
        () => loadStateDict(model, state, { ...options, replaceHead: true }),
        /doesn't hold the weights of plain_cnn: missing: conv2\.bias/,
      );
    });
  }));
