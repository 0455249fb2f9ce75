"""Loads an exported state dict into torchvision's model and compares its logits with Lockstep's.

Started by scripts/check_torchvision_export.ts, once per model:

    python scripts/check_torchvision_export.py FOLDER

FOLDER holds `torchvision.safetensors` as exported and `logits.safetensors` with `images` [n, h, w, 3] and `logits`
[n, classes]. The model is made by the statements in the export's own metadata, as a user would.
"""

import json
import pathlib
import sys

import safetensors
import safetensors.torch
import torch
import torchvision

TOLERANCE = 1e-4


def main():
    folder = pathlib.Path(sys.argv[1])
    path = folder / "torchvision.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    scope = {"torch": torch, "torchvision": torchvision}
    exec(metadata["python"], scope)
    model = scope["model"]
    model.load_state_dict(safetensors.torch.load_file(path), strict=True)
    for key, tensor in safetensors.torch.load_file(path).items():
        assert tensor.dtype == model.state_dict()[key].dtype, key
    given = safetensors.torch.load_file(folder / "logits.safetensors")
    model.eval()
    with torch.no_grad():
        logits = model(given["images"].permute(0, 3, 1, 2).contiguous())
    expected = given["logits"]
    difference = (logits - expected).abs().max().item()
    greatest = expected.abs().max().item()
    ok = difference <= TOLERANCE * max(greatest, 1) and greatest > 0.01
    classes = len(json.loads(metadata["classes"]))
    print(
        f"{metadata['model']}: strict=True loads {len(model.state_dict())} tensors, {classes} classes, "
        f"logits up to {greatest:.3g} differ by {difference:.2g}: {'ok' if ok else 'WRONG'}"
    )
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
