#!/bin/sh
# Packs Lockstep with Deno, its packages and TensorFlow's CUDA build for a GPU machine without a network, in pieces:
# see docs/gpu.md. "--help" lists the options.
set -eu
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd)
if command -v deno >/dev/null 2>&1; then run=deno
elif command -v npx >/dev/null 2>&1; then run='npx -y deno'
else
  echo "error: There is neither deno nor npx on PATH: install Deno (npm install -g deno)" >&2
  exit 1
fi
exec $run run --quiet --no-prompt --no-check --allow-read --allow-write --allow-run --allow-env --allow-sys --allow-ffi \
  "$root/scripts/gpu_pack/main.ts" "$@"
