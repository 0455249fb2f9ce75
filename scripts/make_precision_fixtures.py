"""Makes tests/fixtures/precision: what PyTorch's autocast computes with 16 bits, and how its GradScaler scales losses.

Run by hand, with a Python that has torch 2.x and numpy:

    python scripts/make_precision_fixtures.py autocast
    python scripts/make_precision_fixtures.py scaler

`autocast` is a step of a small network on the CPU, in float32 and under autocast with bfloat16 and float16: logits, loss,
gradients and running statistics. Parameters and input come from make_model_fixtures.py's generator.

`scaler` is a sequence of steps, some of which overflow: the scale and the growth tracker behind each, and whether the
optimizer's step was taken.
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

from make_model_fixtures import listed, fill_model, values, write

DIGITS = 7
INPUT = {"name": "precision.input", "shape": [4, 3, 8, 8], "scale": 2}
LABELS = [0, 2, 1, 2]


class Network(nn.Module):
    """One of each kind of layer."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.conv3 = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.relu(self.bn2(self.conv2(x)) + x)
        x = F.silu(self.conv3(x))
        return self.fc(x.mean((2, 3)))


def autocast():
    def step(dtype):
        model = fill_model(Network()).train()
        x = values(INPUT["name"], INPUT["shape"], INPUT["scale"]).float()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            logits = model(x)
        loss = F.cross_entropy(logits.float(), torch.tensor(LABELS))
        loss.backward()
        return {
            "logits": listed(logits.float(), DIGITS),
            "loss": float(f"{loss.item():.{DIGITS}g}"),
            "gradients": {name: listed(value.grad.float(), DIGITS) for name, value in model.named_parameters()},
            "statistics": {
                name: listed(value, DIGITS) for name, value in model.named_buffers() if "num_batches" not in name
            },
        }

    types = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    steps = {name: step(dtype) for name, dtype in types.items()}
    write("precision/autocast.json", {"input": INPUT, "labels": LABELS, **steps})


def scaler():
    def run(options, overflows):
        scaler = torch.amp.GradScaler("cpu", **options)
        weight = nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=1)
        steps = []
        for is_large in overflows:
            before = weight.item()
            optimizer.zero_grad()
            scaler.scale(weight.sum() * (float("inf") if is_large else 1)).backward()
            scaler.step(optimizer)
            scaler.update()
            state = scaler.state_dict()
            steps.append([state["scale"], state["_growth_tracker"], int(weight.item() != before)])
        return {"options": options, "overflows": [int(o) for o in overflows], "steps": steps}

    usual = [i in (0, 1, 5, 2006, 2007) for i in range(4100)]
    runs = [
        run({}, usual),
        run({"init_scale": 8.0, "growth_interval": 3}, [i in (2, 7, 8, 15) for i in range(24)]),
        run({"init_scale": 2.0**126, "growth_interval": 1}, [False] * 4),
        run({"init_scale": 1000.0, "growth_factor": 3.0, "backoff_factor": 0.1, "growth_interval": 2}, [i % 5 == 3 for i in range(20)]),
    ]
    for each in runs:
        if len(each["steps"]) > 100:
            kept = [0, 1, 2, 5, 1999, 2004, 2005, 2006, 2007, 2008, 4007, 4008, 4099]
            each["steps"] = {str(i): each["steps"][i] for i in kept}
            each["overflows"] = {"count": 4100, "at": [0, 1, 5, 2006, 2007]}
    write("precision/scaler.json", {"torch": torch.__version__, "runs": runs})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["autocast", "scaler"])
    {"autocast": autocast, "scaler": scaler}[parser.parse_args().part]()
