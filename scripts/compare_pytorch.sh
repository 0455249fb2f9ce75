#!/bin/sh
# Runs Lockstep and PyTorch's DistributedDataParallel (gloo) in turn on the same cores and prints ratios:
# see scripts/compare_pytorch.ts. Needs torch and torchvision in the Python that --python names.
set -eu
cd "$(dirname "$0")/.."
exec deno run --quiet --allow-read --allow-write --allow-run scripts/compare_pytorch.ts "$@"
