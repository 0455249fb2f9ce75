"""Makes tests/fixtures/export/state_dicts.json: names, shapes and element types of torchvision's state dicts.

Run by hand, with a Python that has torch 2.x and torchvision:

    python scripts/make_export_fixture.py

One line per model, made with 3 classes; per tensor `name shape`, `*` before the name where it is int64 instead of
float32.
"""

import json
import pathlib

import torch
import torchvision

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "export" / "state_dicts.json"
CLASSES = 3
MODELS = [
    "alexnet",
    "densenet121",
    "inception_v3",
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "squeezenet1_0",
    "squeezenet1_1",
    "vgg11_bn",
    "vgg16_bn",
]
TYPES = {torch.float32: "", torch.int64: "*"}


def describe(name):
    more = {"init_weights": False} if name == "inception_v3" else {}
    with torch.device("meta"):
        model = getattr(torchvision.models, name)(num_classes=CLASSES, **more)
    return [
        f"{TYPES[tensor.dtype]}{key} {','.join(map(str, tensor.shape))}".strip()
        for key, tensor in model.state_dict().items()
    ]


def main():
    FIXTURE.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{json.dumps(name)}: {json.dumps(describe(name))}" for name in MODELS]
    FIXTURE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
