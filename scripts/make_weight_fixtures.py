"""Makes tests/fixtures/weights: files of torch.save in both formats and of safetensors, and what they hold.

Run by hand with a Python that has torch 2.x and safetensors:  python scripts/make_weight_fixtures.py

expected.json maps a file to its tensors: dtype, shape, the sum of all elements and the first elements, as
float32 rounds them.
"""

import collections
import json
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "weights"
SHOWN = 12


class Malicious:
    """Unpickling it the usual way would run a command."""

    def __reduce__(self):
        import os

        return os.system, ("echo this must never run",)


def network():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4)
    )


def views():
    """Tensors that share storages, start inside them, and lie in them in another order."""
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    image = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)
    return {
        "base": base,
        "slice": base[1:, :2, 3],
        "row": base[2, 1],
        "transposed": base.permute(2, 0, 1),
        "every_other": base.reshape(-1)[1::2],
        "channels_last": image.contiguous(memory_format=torch.channels_last),
        "expanded": torch.tensor([1.5, -2.0]).reshape(2, 1).expand(2, 6),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "half_slice": base.half()[:, 1],
        "tied": base,
    }


def dtypes():
    numbers = torch.tensor([[0, 1, -3], [7, 100, -128]])
    kinds = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8"]
    result = {kind: numbers.to(getattr(torch, kind)) for kind in kinds}
    result["uint8"] = numbers.abs().to(torch.uint8)
    result["bool"] = numbers > 0
    result["float64"] = numbers.double() / 3
    result["float16"] = numbers.half() / 3
    result["bfloat16"] = numbers.bfloat16() / 3
    result["int64"] = numbers * 2**40
    return result


def checkpoint():
    """What a training script saves around a state dict, of a network in DataParallel."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(2, 3, 3, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "arch": "tiny",
        "best": 0.75,
        "done": (True, None, -5, 2**40, -(2**70), b"\x00\xff bytes", "Grüße"),
        "state_dict": nn.DataParallel(model).state_dict(),
        "optimizer": optimizer.state_dict(),
    }


def describe(tensor):
    values = tensor.detach().float()
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "sum": float(values.double().sum()),
        "values": values.reshape(-1)[:SHOWN].tolist(),
    }


def main():
    torch.manual_seed(7)
    OUT.mkdir(parents=True, exist_ok=True)
    expected = {}

    def save(name, value, tensors=None, **options):
        torch.save(value, OUT / name, **options)
        if tensors is not None:
            expected[name] = {key: describe(tensor) for key, tensor in tensors.items()}

    legacy = {"_use_new_zipfile_serialization": False}
    state = network().state_dict()
    state["1.num_batches_tracked"] += 2**40 + 1
    save("network.pth", state, state)
    save("network_legacy.pth", state, state, **legacy)
    save("network_protocol4.pth", state, state, pickle_protocol=4)
    save("network_protocol3_legacy.pth", state, state, pickle_protocol=3, **legacy)
    save("network_protocol4_legacy.pth", state, state, pickle_protocol=4, **legacy)
    for name, make in (("views", views), ("dtypes", dtypes)):
        tensors = make()
        save(f"{name}.pth", tensors, tensors)
        save(f"{name}_legacy.pth", tensors, tensors, **legacy)
    contiguous = {key: tensor.clone() for key, tensor in dtypes().items()}
    save_file(contiguous, OUT / "dtypes.safetensors", metadata={"format": "pt"})
    expected["dtypes.safetensors"] = {key: describe(tensor) for key, tensor in contiguous.items()}
    parameters = collections.OrderedDict(network().named_parameters())
    save("parameters.pth", {"model": parameters}, parameters)
    saved = checkpoint()
    unwrapped = {k.removeprefix("module."): v for k, v in saved["state_dict"].items()}
    save("checkpoint.pth", saved, unwrapped)
    save("checkpoint_legacy.pth", saved, unwrapped, **legacy)

    save("whole_model.pth", network())
    save("malicious.pth", {"weight": torch.ones(2), "extra": Malicious()})
    save("malicious_legacy.pth", Malicious(), **legacy)
    save("list.pth", [torch.ones(2)])
    save("not_a_state_dict.pth", {"weight": torch.ones(2), "note": "not a tensor"})
    torch.jit.script(nn.Linear(2, 2)).save(str(OUT / "torchscript.pth"))

    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for path in sorted(OUT.iterdir()):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
