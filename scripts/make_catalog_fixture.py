"""Makes tests/fixtures/models/catalog.json: what torchvision says of the architectures, and what PyTorch counts in them.

Run by hand, with a Python that has torch 2.x and torchvision:

    python scripts/make_catalog_fixture.py --package DIR

DIR is a folder that holds PyPI's efficientnet-lite-pytorch 0.1.0 unpacked. Multiply-adds are those of convolutions and
linear layers for one picture, without the auxiliary classifier, as torchvision counts its models' `_ops`.
"""

import argparse
import json
import pathlib
import sys

import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "models" / "catalog.json"
TORCHVISION = [
    "resnet18", "resnet34", "resnet50", "alexnet", "vgg11_bn", "vgg16_bn", "squeezenet1_0", "squeezenet1_1",
    "densenet121", "inception_v3", "mobilenet_v2",
]
# Drawing its initial weights takes long, and changes no size.
OPTIONS = {"inception_v3": {"init_weights": False}}


def plain_cnn():
    """src/models/plain_cnn.ts with 1000 classes."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(64, 1000),
    )


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def counts(model, size):
    """What is counted in any model."""
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, size, size))
    head, last = [(n, m) for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))][-1]
    auxiliary = getattr(model, "AuxLogits", None)
    return {
        "inputSize": size,
        "parameters": parameters(model),
        "multiplyAdds": counter.get_total_flops() // 2,
        "head": head,
        "headParameters": parameters(last),
        **({"auxiliaryParameters": parameters(auxiliary)} if auxiliary else {}),
    }


def of_torchvision(name):
    weights = {entry.name: entry for entry in torchvision.models.get_model_weights(name)}
    first = weights["IMAGENET1K_V1"]
    (size,) = first.transforms().crop_size
    model = torchvision.models.get_model(name, weights=None, **OPTIONS.get(name, {}))
    return {
        **counts(model, size),
        "metadata": {"num_params": first.meta["num_params"], "_ops": first.meta["_ops"]},
        "weights": {
            version: {"url": entry.url, "_file_size": entry.meta["_file_size"]} for version, entry in weights.items()
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", required=True)
    sys.path.insert(0, parser.parse_args().package)
    from efficientnet_lite_pytorch import EfficientNet

    models = {name: of_torchvision(name) for name in TORCHVISION}
    models["efficientnet_lite0"] = counts(EfficientNet.from_name("efficientnet-lite0"), 224)
    models["plain_cnn"] = counts(plain_cnn(), 32)
    made_by = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    lines = [f'"{name}": {json.dumps(facts)}' for name, facts in models.items()]
    FIXTURE.write_text(f'{{"madeBy": "{made_by}", "models": {{\n' + ",\n".join(lines) + "\n}}\n")
    json.loads(FIXTURE.read_text())


if __name__ == "__main__":
    main()
