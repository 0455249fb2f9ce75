"""The pictures of `deno task bench loader` through torchvision's PIL pipeline, to measure side by side.

Needs torch and torchvision, installed by hand; Lockstep itself never uses them.
Prints one line of JSON: images per second of a DataLoader with as many worker processes as asked for, or, without
any, of one process on one thread.
"""

import argparse
import json
import pathlib
import time

import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms


class Pictures(torch.utils.data.Dataset):
    """Pictures in a folder, without their classes."""

    def __init__(self, paths: list[pathlib.Path], transform: transforms.Compose) -> None:
        self.paths = paths
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return load(self.paths[index], self.transform)


def load(path: pathlib.Path, transform: transforms.Compose) -> torch.Tensor:
    """One picture, read as torchvision's ImageFolder does."""
    with open(path, "rb") as file:
        return transform(Image.open(file).convert("RGB"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    transform = transforms.Compose([
        transforms.RandomResizedCrop(args.image_size),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])
    paths = sorted(path for path in args.data.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    loader = torch.utils.data.DataLoader(
        Pictures(paths, transform),
        batch_size=args.batch,
        shuffle=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
        prefetch_factor=4 if args.workers > 0 else None,
    )
    speeds, core_speeds = [], []
    for epoch in range(args.epochs + 1):
        start, cpu = time.perf_counter(), time.process_time()
        count = sum(len(batch) for batch in loader)
        if epoch > 0:
            speeds.append(count / (time.perf_counter() - start))
            core_speeds.append(count / (time.process_time() - cpu))
    speeds.sort()
    core_speeds.sort()
    print(json.dumps({
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
        "pictures": len(paths),
        "imagesPerSecond": speeds[len(speeds) // 2],
        # The time of worker processes isn't in it.
        "imagesPerCoreSecond": core_speeds[len(core_speeds) // 2] if args.workers == 0 else None,
    }))


if __name__ == "__main__":
    main()
