"""Makes tests/fixtures/parity: how PyTorch's networks compute, learn and start, and what torchvision says of them.

Run by hand, with a Python that has torch 2.x, torchvision and numpy:

    python scripts/make_parity_fixtures.py resnet34 densenet121
    python scripts/make_parity_fixtures.py --search 16 --norm-bias 3 mnasnet0_5
    python scripts/make_parity_fixtures.py --package DIR efficientnet_lite0

Any name that torchvision's get_model() takes will do, beside plain_cnn and efficientnet_lite0. A fixture that is there
already is made again from the input, shape and biases that it names; flags override them. --package is a folder that
holds PyPI's efficientnet-lite-pytorch 0.1.0 unpacked.

Parameters and inputs come from make_model_fixtures.py's generator. For each network a fixture holds: logits in eval
mode; the losses of 3 steps by SGD and of 3 by Adam, each from the same start; the gradients of the first step; all
parameters and buffers behind the third; the size of each parameter as torchvision draws it; what PyTorch counts with
1000 classes, and torchvision's metadata; names, shapes and (`*` for int64) types of torchvision's state dict with 3
classes. Nothing is dropped. Multiply-adds are those of convolutions and linear layers for one image, without the
auxiliary classifier, as torchvision counts its models' `_ops`.

A tensor is summarized as [norm, projection, a, b, c]: the norm of the whole, then of its rows 0, k, 2k … (k = the
count by 2^22, rounded up: 1 for all but the largest) the dot product with the generator's stream "projection" and the
elements at 1/6, 3/6 and 5/6. PyTorch computes in float64: its own rounding is nil.

Which input is chosen matters: where a ReLU's input or the difference between two pixels of a max pool is about the
size of float32's rounding, implementations go separate ways. --search tries so many inputs in float32 several times
(with oneDNN, without it, channels last, with parameters and input that are off by as much as sums in float32 are),
prints those whose results lie nearest to float64's, and makes the fixture with the best.
"""

import argparse
import collections
import json
import math
import sys

import numpy as np
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from make_model_fixtures import FIXTURES, fill, hash32, listed, rounded, values, write

LARGE = 2**22
DIGITS = 6
CLASSES = 4
SGD = {"lr": 1e-3, "momentum": 0.9, "weightDecay": 1e-4}
STEPS = 3
# With the usual eps of 1e-8 a gradient that is nothing but rounding makes as large a step as any other.
ADAM = {"lr": 1e-4, "betas": [0.9, 0.999], "eps": 1e-5}
CHECK_NAME = "layer1.0.conv1.weight"
AUXILIARY_WEIGHT = 0.4
SHAPE = [4, 3, 64, 72]
LABELS = [0, 2, 1, 3]
# Below this share of the gradient of all parameters a gradient is 0 but for rounding.
NIL = 1e-12
TOLERANCE = 1e-4
# Share of a tensor's own norm that counts with that of its change: each step rounds the sum to float32.
FLOOR = STEPS * 2**-24 / TOLERANCE
# Ways of computing in float32: by oneDNN, channels last, number of the noise on parameters and input (0: none).
WAYS = ((True, False, 0), (False, False, 0), (True, True, 0), (True, False, 1), (True, False, 2), (True, False, 3))
# Size of that noise, relative to each element: what sums of hundreds of products in float32 are off by.
NOISE = 2**-21
# A deviation of PyTorch's float32 is written down from here on.
NOTABLE = 1e-5

# What a fixture is made with unless it or a flag says otherwise. `input` is the number of the input, by --search.
# `normBias` is added to the biases of BatchNorm: the more, the fewer inputs of ReLUs are near 0. `anyFlips`: with tens
# of millions of inputs of ReLUs and pools some are within rounding of the edge whatever the input, and in which layer
# is chance: what one tensor is off by in PyTorch's float32, any may be.
DEFAULTS = {"input": 0, "shape": SHAPE, "normBias": 1, "anyFlips": False}

projection = values("projection", (LARGE + 2**16,))


def plain_cnn(classes):
    """src/models/architectures/plain_cnn.ts."""
    layers = collections.OrderedDict()
    channels = [3, 16, 32, 64]
    for number in (1, 2, 3):
        layers[f"conv{number}"] = torch.nn.Conv2d(channels[number - 1], channels[number], 3, padding=1)
        layers[f"relu{number}"] = torch.nn.ReLU()
        if number < 3:
            layers[f"pool{number}"] = torch.nn.MaxPool2d(2)
    layers |= {
        "avgpool": torch.nn.AdaptiveAvgPool2d(1),
        "flatten": torch.nn.Flatten(),
        "fc": torch.nn.Linear(channels[-1], classes),
    }
    return torch.nn.Sequential(layers)


def efficientnet_lite0(classes, shape):
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name(
        "efficientnet-lite0", num_classes=classes, dropout_rate=0, drop_connect_rate=0, image_size=shape[2:]
    )


def build(name, shape, classes=CLASSES, draw=True):
    """A network that drops nothing; as torchvision draws it, if `draw`."""
    if name == "plain_cnn":
        return plain_cnn(classes)
    if name == "efficientnet_lite0":
        return efficientnet_lite0(classes, shape)
    options = {"init_weights": draw} if name == "inception_v3" else {}
    network = torchvision.models.get_model(name, weights=None, num_classes=classes, **options)
    for module in network.modules():
        if isinstance(module, (torch.nn.Dropout, torchvision.ops.StochasticDepth)):
            module.p = 0
    return network


def parameters_of(module):
    return sum(parameter.numel() for parameter in module.parameters())


def published(name):
    """torchvision's weights, by version."""
    if name in ("plain_cnn", "efficientnet_lite0"):
        return {}
    return {entry.name: entry for entry in torchvision.models.get_model_weights(name)}


def catalog(name):
    """What PyTorch counts with 1000 classes, and torchvision's metadata."""
    versions = published(name)
    first = versions.get("IMAGENET1K_V1")
    size = first.transforms().crop_size[0] if first else 32 if name == "plain_cnn" else 224
    network = build(name, [1, 3, size, size], 1000, draw=False).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, size, size))
    layers = [(n, m) for n, m in network.named_modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    head, last = layers[-1]
    auxiliary = getattr(network, "AuxLogits", None)
    facts = {
        "inputSize": size,
        "parameters": parameters_of(network),
        "multiplyAdds": counter.get_total_flops() // 2,
        "head": head,
        "headParameters": parameters_of(last),
        **({"auxiliaryParameters": parameters_of(auxiliary)} if auxiliary else {}),
    }
    if first:
        facts["metadata"] = {"num_params": first.meta["num_params"], "_ops": first.meta["_ops"]}
        facts["weights"] = {
            version: {"url": entry.url, "_file_size": entry.meta["_file_size"]} for version, entry in versions.items()
        }
    return facts


def state_dict(name):
    """Names, shapes and types of torchvision's state dict with 3 classes; nothing for networks of others."""
    if not published(name):
        return {}
    with torch.device("meta"):
        network = build(name, SHAPE, 3, draw=False)
    types = {torch.float32: "", torch.int64: "*"}
    entries = network.state_dict().items()
    return {"stateDict": [f"{types[t.dtype]}{key} {','.join(map(str, t.shape))}".strip() for key, t in entries]}


def summarize(tensor):
    tensor = tensor.detach().double()
    rows = tensor[:: math.ceil(tensor.numel() / LARGE)].reshape(-1)
    count = len(rows)
    parts = [tensor.norm(), rows @ projection[:count], *(rows[(2 * k + 1) * count // 6] for k in range(3))]
    return [rounded(part, DIGITS) for part in parts]


def fill_check():
    """What ties the generator to the tests'."""
    shape = (64, 64, 3, 3)
    hashes = {str(x): int(hash32(np.array([x], dtype=np.uint32))[0]) for x in (0, 1, 2**32 - 1)}
    return {"name": CHECK_NAME, "shape": shape, "summary": summarize(fill(CHECK_NAME, shape)), "hashes": hashes}


def error(actual, expected, count, before=0.0):
    """How far a summary is off, as the tests see it."""
    norm = max(expected[0] + FLOOR * before, 1e-300)
    largest = max(norm / math.sqrt(count), *map(abs, expected[2:]))
    whole = [abs(a - e) / norm for a, e in zip(actual[:2], expected[:2])]
    return max(*whole, *(abs(a - e) / largest for a, e in zip(actual[2:], expected[2:])))


def loss_of(outputs, labels):
    cross_entropy = torch.nn.functional.cross_entropy
    if isinstance(outputs, tuple):
        return cross_entropy(outputs[0], labels) + AUXILIARY_WEIGHT * cross_entropy(outputs[1], labels)
    return cross_entropy(outputs, labels)


def learn(network, start, batch, labels, optimizer, steps):
    """Losses, gradients of the first step, and what all steps change."""
    network.train()
    losses, gradients = [], {}
    for step in range(steps):
        loss = loss_of(network(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            gradients = {name: summarize(p.grad) for name, p in network.named_parameters()}
        optimizer.step()
    changes = {n: summarize(v - start[n]) for n, v in network.state_dict().items() if "num_batches" not in n}
    return losses, gradients, changes


def noisy(tensors, number):
    """Tensors, each element off by a little; as they are for number 0."""
    if number == 0:
        return tensors
    generator = torch.Generator().manual_seed(number)
    return [t * (1 + NOISE * (2 * torch.rand(t.shape, generator=generator) - 1)) for t in tensors]


def load(network, start):
    """Loads parameters and buffers, as of the version of the network's own state dict."""
    state = collections.OrderedDict(start)
    state._metadata = network.state_dict()._metadata
    network.load_state_dict(state)


def compute(network, start, spec, dtype, steps=STEPS, channels_last=False, noise=0):
    """Everything that is compared, for one element type."""
    batch, *parameters = noisy([batch_of(spec), *start.values()], noise)
    batch = batch.to(dtype)
    start = dict(zip(start, parameters))
    labels = torch.tensor(spec["labels"])
    network = network.to(dtype)
    if channels_last:
        batch = batch.contiguous(memory_format=torch.channels_last)
        network = network.to(memory_format=torch.channels_last)
    load(network, start)
    network.eval()
    with torch.no_grad():
        result = {"evalLogits": network(batch)}
        if hasattr(network, "transform_input"):
            network.transform_input = True
            result["transformedLogits"] = network(batch)
            network.transform_input = False
    sgd = torch.optim.SGD(
        network.parameters(), lr=SGD["lr"], momentum=SGD["momentum"], weight_decay=SGD["weightDecay"]
    )
    result["sgdLosses"], result["gradients"], result["sgd"] = learn(network, start, batch, labels, sgd, steps)
    del sgd
    if steps == 1:
        return result
    load(network, start)
    adam = torch.optim.Adam(network.parameters(), **ADAM)
    result["adamLosses"], _, result["adam"] = learn(network, start, batch, labels, adam, steps)
    return result


def is_nil(gradients, name):
    if name not in gradients:
        return False
    total = math.sqrt(sum(summary[0] ** 2 for summary in gradients.values()))
    return gradients[name][0] < NIL * total


def deviations(actual, exact, counts, norms):
    """How far each tensor is off, by group; and the losses and logits."""
    found = {}
    for group in ("gradients", "sgd", "adam"):
        before = {} if group == "gradients" else norms
        found[group] = {
            name: error(actual[group][name], expected, counts[name], before.get(name, 0))
            for name, expected in exact.get(group, {}).items()
            if not is_nil(exact["gradients"], name)
        }
    found["losses"] = {
        key: max(abs(a - e) for a, e in zip(actual[key], exact[key])) / max(exact[key])
        for key in ("sgdLosses", "adamLosses")
        if key in exact
    }
    logits = exact["evalLogits"]
    found["logits"] = {"eval": float((actual["evalLogits"].double() - logits).abs().max() / logits.abs().max())}
    return found


def in_float32(network, start, spec, exact, counts, steps):
    """The worst of several ways of computing in float32, for each tensor."""
    norms = {name: value.double().norm().item() for name, value in start.items()}
    worst = {}
    for onednn, channels_last, noise in WAYS:
        with torch.backends.mkldnn.flags(enabled=onednn):
            single = compute(network, start, spec, torch.float32, steps, channels_last, noise)
        network.to(memory_format=torch.contiguous_format)
        for group, errors in deviations(single, exact, counts, norms).items():
            into = worst.setdefault(group, {})
            for name, value in errors.items():
                into[name] = max(value, into.get(name, 0))
    return worst


def worst_of(found):
    """The greatest and the median error of each group."""
    ordered = {group: sorted(errors.values()) for group, errors in found.items() if errors}
    return {group: [rounded(e[-1], 2), rounded(e[len(e) // 2], 2)] for group, e in ordered.items()}


def choices_of(name, flags):
    """What a fixture is made with: defaults, then what the fixture there says, then flags."""
    path = FIXTURES / "parity" / f"{name}.json"
    chosen = dict(DEFAULTS)
    if path.exists():
        there = json.loads(path.read_text())
        number = int(there["input"]["name"].rsplit(".", 1)[1])
        chosen |= {
            "input": number,
            "shape": there["input"]["shape"],
            **{key: there[key] for key in ("normBias", "anyFlips") if key in there},
        }
    return chosen | {key: value for key, value in flags.items() if value is not None}


def spec_of(name, chosen):
    return {
        "numClasses": CLASSES,
        "input": {"name": f"{name}.input.{chosen['input']}", "shape": chosen["shape"], "scale": 2},
        "labels": LABELS,
        "normBias": chosen["normBias"],
        "steps": STEPS,
        "sgd": SGD,
        "adam": ADAM,
    }


def drawn(name, network):
    """The root mean square and the largest magnitude of each parameter as torchvision draws it."""
    parameters = dict(network.named_parameters())
    if name == "efficientnet_lite0":
        # torchvision has the network with squeeze-and-excitation only; its other parameters come in the same order.
        b0 = torchvision.models.efficientnet_b0(num_classes=CLASSES)
        same = [p for n, p in b0.named_parameters() if ".fc1." not in n and ".fc2." not in n]
        assert [p.shape for p in same] == [p.shape for p in parameters.values()]
        parameters = dict(zip(parameters, same))
    return {
        n: [rounded(p.detach().double().square().mean().sqrt(), 4), rounded(p.detach().abs().max(), 4)]
        for n, p in parameters.items()
    }


def start_of(network, norm_bias):
    """Parameters and buffers."""
    start = {name: fill(name, tuple(value.shape)) for name, value in network.state_dict().items()}
    for name in start:
        layer, kind = name.rsplit(".", 1)
        if kind == "bias" and f"{layer}.running_mean" in start:
            start[name] += norm_bias
    return {name: value.float() for name, value in start.items()}


def batch_of(spec):
    """Noise on 4 by 4 patches of colour, which tell the pictures apart even behind the last pooling."""
    name, shape, scale = spec["input"].values()
    height, width = shape[2:]
    patches = values(f"{name}.patches", [*shape[:2], 4, 4], scale)
    rows, columns = (torch.arange(side) * 4 // side for side in (height, width))
    return (values(name, shape, scale) + patches[:, :, rows][:, :, :, columns]).float()


def prepare(name, chosen):
    torch.manual_seed(0)
    network = build(name, chosen["shape"])
    initial = drawn(name, network)
    start = start_of(network, chosen["normBias"])
    counts = {n: v.numel() for n, v in start.items()}
    return network, start, counts, initial


def search(name, chosen, tries):
    """The best input: ranks them by one step each, then the best three by all steps."""
    network, start, counts, _ = prepare(name, chosen)

    def worst(number, steps):
        spec = spec_of(name, chosen | {"input": number})
        exact = compute(network, start, spec, torch.float64, steps)
        return worst_of(in_float32(network, start, spec, exact, counts, steps))

    first = {number: worst(number, 1)["gradients"][0] for number in range(tries)}
    order = sorted(first, key=first.get)
    print(name, {number: first[number] for number in order}, flush=True)
    whole = {number: worst(number, STEPS) for number in order[:3]}
    for number, found in whole.items():
        print(name, number, found, flush=True)
    return min(whole, key=lambda number: max(whole[number][group][0] for group in ("gradients", "sgd")))


def make(name, chosen):
    network, start, counts, initial = prepare(name, chosen)
    spec = spec_of(name, chosen)
    exact = compute(network, start, spec, torch.float64)
    found = in_float32(network, start, spec, exact, counts, STEPS)

    def entry(group, n):
        own = found[group].get(n, 0)
        return exact[group][n] + ([rounded(own, 2)] if own > NOTABLE else [])

    tensors = {}
    for n in exact["sgd"]:
        tensors[n] = {"shape": list(start[n].shape)}
        if n in initial:
            tensors[n] |= {"drawn": initial[n], "gradient": entry("gradients", n)}
        if is_nil(exact["gradients"], n):
            tensors[n]["nil"] = True
        tensors[n] |= {"sgd": entry("sgd", n), "adam": entry("adam", n)}
    write(f"parity/{name}.json", {
        "madeBy": f"torch {torch.__version__}, torchvision {torchvision.__version__}, float64",
        "fillCheck": fill_check(),
        **spec,
        **{key: listed(exact[key], 7) for key in ("evalLogits", "transformedLogits") if key in exact},
        **{key: [rounded(loss, 8) for loss in exact[key]] for key in ("sgdLosses", "adamLosses")},
        "float32Deviation": worst_of(found),
        "anyFlips": chosen["anyFlips"],
        "catalog": catalog(name),
        **state_dict(name),
        "tensors": tensors,
    })


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--package")
    parser.add_argument("--search", type=int, help="try so many inputs and take the best")
    parser.add_argument("--input", type=int, help="number of the input")
    parser.add_argument("--norm-bias", type=float, help="what is added to the biases of BatchNorm")
    parser.add_argument("--size", type=int, help="side of the images")
    parser.add_argument("--any-flips", action="store_true", default=None)
    arguments = parser.parse_args()
    if arguments.package:
        sys.path.insert(0, arguments.package)
    size = arguments.size
    flags = {
        "input": arguments.input,
        "normBias": arguments.norm_bias,
        "anyFlips": arguments.any_flips,
        "shape": [*SHAPE[:2], size, size] if size else None,
    }
    for name in arguments.models:
        chosen = choices_of(name, flags)
        if arguments.search:
            chosen["input"] = search(name, chosen, arguments.search)
        make(name, chosen)


if __name__ == "__main__":
    main()
