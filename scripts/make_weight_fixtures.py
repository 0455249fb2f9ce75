"""Makes tests/fixtures/weights: files of torch.save in both formats and of safetensors, and what they hold;
and tests/fixtures/cases/weights: files as training scripts leave them, with the logits of their network.

Run by hand with a Python that has torch 2.x and safetensors:
    python scripts/make_weight_fixtures.py weights|cases

expected.json maps a file to its tensors: dtype, shape, the sum of all elements and the first elements, as
float32 rounds them.
"""

import argparse
import collections
import datetime
import enum
import json
import pathlib
import sys
import types

import numpy
import torch
from safetensors.torch import save_file
from torch import nn

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures"
OUT = FIXTURES / "weights"
CASES = FIXTURES / "cases" / "weights"
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


def write_weights():
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
    torch.jit.script(nn.Linear(2, 2)).save(str(OUT / "torchscript.pth"))

    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for path in sorted(OUT.iterdir()):
        print(path.name, path.stat().st_size)


def small_network():
    """Convolution, BatchNorm and a last layer of 3 classes, trained for one step."""
    layers = {
        "conv": nn.Conv2d(3, 4, 3, bias=False),
        "bn": nn.BatchNorm2d(4),
        "relu": nn.ReLU(),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
        "fc": nn.Linear(4, 3),
    }
    model = nn.Sequential(collections.OrderedDict(layers))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    return model.eval(), optimizer


def users_class():
    """An object of a class that only the training script knows."""
    module = types.ModuleType("utils.meters")
    sys.modules["utils"] = types.ModuleType("utils")
    sys.modules["utils.meters"] = module
    kind = type("Meter", (), {"__module__": "utils.meters"})
    module.Meter = kind
    meter = kind()
    meter.avg = 1.5
    return meter


class Phase(enum.Enum):
    TRAIN = "train"


def write_cases():
    torch.manual_seed(0)
    CASES.mkdir(parents=True, exist_ok=True)
    model, optimizer = small_network()
    state = model.state_dict()
    other = {key: value + 1 if value.is_floating_point() else value for key, value in state.items()}
    namespace = argparse.Namespace(model="small", batch_size=32, amp=True)

    def save(name, value, **options):
        torch.save(value, CASES / name, **options)

    def as_type(dtype):
        return {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}

    def prefixed(prefix, values=state):
        return {prefix + key: value for key, value in values.items()}

    save("00_plain.pth", state)
    save("01_module.pth", prefixed("module."))
    save("02_orig_mod.pth", prefixed("_orig_mod."))
    save("03_orig_mod_module.pth", prefixed("_orig_mod.module."))
    save("04_module_orig_mod.pth", prefixed("module._orig_mod."))
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5).state_dict()
    run = {"optimizer": optimizer.state_dict(), "lr_scheduler": schedule, "epoch": 3}
    save("05_torchvision_reference.pth", {"model": state, **run, "args": namespace})
    accuracy = torch.tensor(58.1)
    save(
        "07_imagenet_example.pth.tar",
        {"arch": "small", "state_dict": prefixed("module."), "best_acc1": accuracy, **run},
    )
    timm = {"state_dict": other, "version": 2, "args": namespace, "state_dict_ema": state}
    save("08_timm.pth.tar", {**timm, **run})
    save("10_numpy_array.pth", {"state_dict": state, "history": numpy.arange(4.0)})
    lightning = {"state_dict": prefixed("model."), "callbacks": {}, "hyper_parameters": {"lr": 0.1}}
    lightning["state_dict"]["criterion.weight"] = torch.ones(3)
    save("11_lightning.ckpt", {**lightning, "optimizer_states": [optimizer.state_dict()]})
    save("13_half.pth", as_type(torch.half))
    save("14_bfloat16.pth", as_type(torch.bfloat16))
    save("15_double.pth", as_type(torch.double))
    last = {"memory_format": torch.channels_last}
    save("16_channels_last.pth", {k: v.to(**last) if v.dim() == 4 else v for k, v in state.items()})
    flat = torch.cat([value.flatten().float() for value in state.values()])
    shared, start = {}, 0
    for key, value in state.items():
        shared[key] = flat[start : start + value.numel()].view(value.shape)
        start += value.numel()
    save("17_one_storage.pth", shared)
    turn = (3, 2, 1, 0)
    turned = {
        k: v.permute(turn).contiguous().permute(turn) if v.dim() == 4 else v
        for k, v in state.items()
    }
    save("18_transposed.pth", turned)
    save("19_parameters.pth", {k: nn.Parameter(v, requires_grad=False) for k, v in state.items()})
    save("20_whole_model.pth", model)
    torch.jit.script(nn.Linear(2, 2)).save(str(CASES / "21_torchscript.pt"))
    save("22_legacy.pth", state, _use_new_zipfile_serialization=False)
    save("23_protocol4.pth", state, pickle_protocol=4)
    save("24_protocol5.pth", state, pickle_protocol=5)
    save("25_dict_not_ordered.pth", dict(state))
    save("26_net_key.pth", {"net": state, "acc": 91.2, "epoch": 3})
    save("27_model_state_key.pth", {"model_state": state, "optimizer_state": optimizer.state_dict()})
    save("29_list.pth", [state, optimizer.state_dict()])
    save("30_nan.pth", {**state, "fc.weight": torch.full((3, 4), float("nan"))})
    save("31_missing_key.pth", {k: v for k, v in state.items() if k != "bn.bias"})
    counters = {"total_ops": torch.zeros(1), "conv.total_params": torch.zeros(1)}
    save("32_extra_key.pth", {**state, **counters})
    save("33_empty.pth", {})
    device = {"device": torch.device("cuda:0"), "dtype": torch.float16}
    save("34_device.pth", {"state_dict": state, **device})
    save("37_defaultdict.pth", {"state_dict": state, "log": collections.defaultdict(list)})
    odd = {"shape": torch.Size([3, 224, 224]), "classes": ("ä", "b"), "big": 2**80, "neg": -5}
    odd |= {"c": complex(1, 2), "set": {1, 2}, "frozen": frozenset("a"), "raw": bytearray(b"\0\xff")}
    odd |= {"when": datetime.datetime(2024, 5, 6), "loss": numpy.float64(0.5), "phase": Phase.TRAIN}
    odd |= {("a", 1): 2, "path": pathlib.PurePosixPath("a/b"), "meter": users_class()}
    save("38_enum_tuple.pth", {"state_dict": state, **odd})
    save("38_protocol5.pth", {"state_dict": state, **odd}, pickle_protocol=5)
    save("39_model_is_module_inside.pth", {"model": model, "ema": None, "epoch": -1})
    page = "<!DOCTYPE html><html><head><title>404</title></head></html>"
    (CASES / "40_html.pth").write_text(page)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
    (CASES / "41_lfs.pth").write_text(pointer)
    (CASES / "41_lfs.safetensors").write_text(pointer)
    (CASES / "42_cut.pth").write_bytes((CASES / "00_plain.pth").read_bytes()[:-900])
    (CASES / "43_tensorflow.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    location_tag = torch.serialization.location_tag
    torch.serialization.location_tag = lambda _: "cuda:0"
    save("44_cuda_tag.pth", state)
    torch.serialization.location_tag = location_tag
    save("45_extra_state.pth", {**state, "_extra_state": {"x": 1}})

    save_file(state, CASES / "50_plain.safetensors")
    note = {"format": "pt", "note": "ünï \u2028 {\"a\":1}"}
    save_file(state, CASES / "51_metadata.safetensors", metadata=note)
    save_file(as_type(torch.half), CASES / "52_f16.safetensors")
    save_file(as_type(torch.bfloat16), CASES / "53_bf16.safetensors")
    kinds = ["float8_e4m3fn", "uint16", "uint64", "complex64"]
    beside = {f"odd.{kind}": torch.zeros(4, dtype=getattr(torch, kind)) for kind in kinds}
    save_file({**state, **beside}, CASES / "54_odd_dtypes_beside.safetensors")
    save("54_odd_dtypes_beside.pth", {**state, **beside})
    save_file(prefixed("module."), CASES / "55_module.safetensors")
    save_file(prefixed("_orig_mod."), CASES / "56_orig_mod.safetensors")
    save_file(as_type(torch.float8_e4m3fn), CASES / "57_f8.safetensors")
    save("57_f8.pth", as_type(torch.float8_e4m3fn))
    save("58_state_dict_meta.pth", {"state_dict": state, "nan": float("nan"), "none": None})
    save("59_renamed_to_pth.safetensors", state)
    save_file(state, CASES / "60_safetensors_named.pth")
    save_file(state, CASES / "61_hf_model.safetensors", metadata={"format": "pt"})
    save("62_pytorch_model.bin", state)
    save("63_swa.pth", torch.optim.swa_utils.AveragedModel(model).state_dict())
    save("64_fp16_plus_int.pth", as_type(torch.half))
    save("65_sparse.pth", {**state, "fc.weight": state["fc.weight"].to_sparse()})
    save("70_two_keys.pth", {"model": other, "state_dict": state})
    inner = {k.replace("conv.", "conv.module._fsdp_wrapped_module."): v for k, v in state.items()}
    save("71_wrapped_inside.pth", inner)
    save("72_nested.pth", {"checkpoint": {"model": prefixed("module.encoder.")}, "epoch": 3})
    save("73_protocol1.pth", {"state_dict": state, "epoch": 3, "args": namespace}, pickle_protocol=1)

    with torch.no_grad():
        images = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
        logits = model(images)
    (CASES / "expected.json").write_text(json.dumps(logits.tolist()) + "\n")


if __name__ == "__main__":
    {"weights": write_weights, "cases": write_cases}[sys.argv[1]]()
