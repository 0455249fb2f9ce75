"""Writes tests/fixtures/models/batchnorm.json: what torch.nn.BatchNorm2d makes of few values per channel.

Run by hand, with a Python that has torch 2.x and numpy:  python scripts/make_batchnorm_fixtures.py
"""
import json
from pathlib import Path

import torch

from make_model_fixtures import values

PATH = Path(__file__).parent.parent / "tests" / "fixtures" / "models" / "batchnorm.json"
CHANNELS = 2


def main():
    torch.set_default_dtype(torch.float64)
    cases = []
    for shape in [(2, 1, 1), (3, 1, 1), (1, 1, 2), (5, 1, 1), (2, 2, 2)]:
        rows, height, width = shape
        x = values(f"batchnorm.{shape}", (rows, CHANNELS, height, width)).requires_grad_()
        layer = torch.nn.BatchNorm2d(CHANNELS).train()
        y = layer(x)
        (y ** 3).sum().backward()
        as_nhwc = lambda t: t.detach().permute(0, 2, 3, 1).flatten().tolist()
        cases.append({
            "shape": [rows, height, width, CHANNELS],
            "x": as_nhwc(x), "y": as_nhwc(y), "dx": as_nhwc(x.grad),
            "runningMean": layer.running_mean.tolist(), "runningVar": layer.running_var.tolist(),
        })
    try:
        torch.nn.BatchNorm2d(CHANNELS).train()(torch.zeros(1, CHANNELS, 1, 1))
        single = None
    except ValueError as error:
        single = str(error)

    # Two micro-batches per step, three steps: each forward pass in training counts, those of eval mode don't.
    counting = torch.nn.BatchNorm2d(CHANNELS).train()
    for _ in range(6):
        counting(torch.randn(4, CHANNELS, 2, 2))
    counting.eval()(torch.randn(4, CHANNELS, 2, 2))
    content = {"cases": cases, "single": single, "numBatchesTracked": int(counting.num_batches_tracked)}
    made = {"madeBy": f"torch {torch.__version__}, float64", "content": content}
    PATH.write_text(json.dumps(made, separators=(",", ":")).replace("},{", "},\n{") + "\n")
    print(f"{PATH.name}: {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
