"""What `deno task bench scaling` and `bench allreduce` measure, in PyTorch's DistributedDataParallel over gloo.

Needs torch and torchvision, installed by hand; Lockstep itself never uses them. Start it with torchrun:
`OMP_NUM_THREADS=1 python -m torch.distributed.run --standalone --nproc-per-node 2 pytorch_ddp_peer.py`.
On several hosts it takes its ranks from the environment (RANK, WORLD_SIZE, MASTER_ADDR, GLOO_SOCKET_IFNAME …), as
`bench_hosts.ts` does.
Rank 0 prints one line of JSON, with the names that Lockstep's have.
"""

import argparse
import json
import statistics
import time

import torch
import torch.distributed as dist
import torchvision


def resident_bytes() -> int:
    """Resident memory of this process."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return 1024 * int(line.split()[1])


def gathered(value) -> list:
    """The values of all ranks."""
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def train(args: argparse.Namespace) -> dict:
    """Times SGD steps of a replica on synthetic pictures; the middle half of the steps counts."""
    torch.manual_seed(0)
    channels_last = args.format == "channels_last"
    model = torchvision.models.get_model(args.model, num_classes=10).train()
    images = torch.sin(torch.arange(args.batch * 3 * args.image_size**2, dtype=torch.float32) * 12.9898)
    images = images.reshape(args.batch, 3, args.image_size, args.image_size)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    labels = torch.arange(args.batch) % 10
    replica = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(replica.parameters(), lr=0.001, momentum=0.9)
    loss_of = torch.nn.CrossEntropyLoss()
    times = []
    first_step_at = 0.0
    processor_start = time.process_time()
    for step in range(args.warmup + args.steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16"):
            loss = loss_of(replica(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        if step == 0:
            first_step_at = 1000 * time.time()
        if step + 1 == args.warmup:
            processor_start = time.process_time()
        if step >= args.warmup:
            times.append(1000 * (time.perf_counter() - start))
    processor = time.process_time() - processor_start
    steps = sorted(statistics.mean(step) for step in zip(*gathered(times)))
    cut = len(steps) // 4
    milliseconds = statistics.mean(steps[cut : len(steps) - cut])
    return {
        "stepMilliseconds": milliseconds,
        "imagesPerSecond": 1000 * args.batch * dist.get_world_size() / milliseconds,
        "residentBytes": statistics.mean(gathered(resident_bytes())),
        "firstStepAt": max(gathered(first_step_at)),
        "processorSeconds": sum(gathered(processor)),
    }


def all_reduce(args: argparse.Namespace) -> dict:
    """Times all-reduces of a float32 vector; the median call counts, each the mean over the ranks."""
    vector = torch.ones(args.bytes // 4)
    times = []
    processor_start = time.process_time()
    for step in range(args.warmup + args.steps):
        if step == args.warmup:
            processor_start = time.process_time()
        start = time.perf_counter()
        dist.all_reduce(vector)
        if step >= args.warmup:
            times.append(1000 * (time.perf_counter() - start))
        vector.fill_(1.0)
    processor = time.process_time() - processor_start
    calls = [statistics.mean(call) for call in zip(*gathered(times))]
    return {"milliseconds": statistics.median(calls), "processorSeconds": sum(gathered(processor))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", choices=["train", "allreduce"], default="train")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--bytes", type=int, default=44_700_000)
    parser.add_argument("--format", choices=["default", "channels_last"], default="default")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32", help="bf16: by autocast")
    args = parser.parse_args()
    dist.init_process_group("gloo")
    result = train(args) if args.measure == "train" else all_reduce(args)
    if dist.get_rank() == 0:
        print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), **result}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
