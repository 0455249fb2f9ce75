"""The training step of `deno task bench step` in PyTorch, to measure side by side.

Needs torch and torchvision, installed by hand; Lockstep itself never uses them.
Prints one line of JSON: images per second of the median step, per memory format.
"""

import argparse
import json
import time

import torch
import torchvision


def measure(args: argparse.Namespace, channels_last: bool) -> dict:
    """Times `args.steps` SGD steps after `args.warmup` others."""
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision == "tf32"
    device = torch.device(args.device)
    model = torchvision.models.get_model(args.model, num_classes=10).train().to(device)
    images = torch.sin(torch.arange(args.batch * 3 * args.image_size**2, dtype=torch.float32) * 12.9898)
    images = images.reshape(args.batch, 3, args.image_size, args.image_size).to(device)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    if args.compile:
        model = torch.compile(model)
    labels = (torch.arange(args.batch) % 10).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    loss_of = torch.nn.CrossEntropyLoss()
    half = {"float16": torch.float16, "bfloat16": torch.bfloat16, "bf16": torch.bfloat16}.get(args.precision)
    scaler = torch.amp.GradScaler(device.type, enabled=half == torch.float16)
    times = []
    for step in range(args.warmup + args.steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None):
            loss = loss_of(model(images), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        loss.item()
        if step >= args.warmup:
            times.append(time.perf_counter() - start)
    times.sort()
    median = times[len(times) // 2]
    return {"imagesPerSecond": args.batch / median, "medianMilliseconds": 1000 * median}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--format", choices=["default", "channels_last"], default="default")
    parser.add_argument("--precision", choices=["float32", "tf32", "float16", "bfloat16", "bf16"], default="float32",
                        help="16 bits: by autocast; float16 with GradScaler")
    parser.add_argument("--compile", action="store_true", help="by torch.compile")
    args = parser.parse_args()
    result = measure(args, args.format == "channels_last")
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), **result}))


if __name__ == "__main__":
    main()
