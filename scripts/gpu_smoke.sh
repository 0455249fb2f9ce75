#!/bin/sh
# Checks Lockstep on this machine's GPUs in some minutes, one line per check, and writes a result file to send:
# see docs/gpu.md. "--help" lists the options.
set -eu
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd)
# Written by the unpack script of scripts/gpu_pack.sh: Deno, its packages and the libraries of the pack.
if [ -f "$root/../gpu_pack_env.sh" ]; then . "$root/../gpu_pack_env.sh"; fi
if command -v deno >/dev/null 2>&1; then run=deno
elif command -v npx >/dev/null 2>&1; then run='npx -y deno'
else
  echo "error: There is neither deno nor npx on PATH: install Deno (npm install -g deno), or unpack a pack of scripts/gpu_pack.sh" >&2
  exit 1
fi
# Packages first: no check's time limit covers a download.
$run cache --quiet "$root/scripts/gpu_smoke/main.ts" "$root/scripts/gpu_smoke/run_check.ts" "$root/src/cli.ts"
exec $run run --quiet --no-prompt --no-check --allow-read --allow-write --allow-run --allow-env --allow-sys --allow-ffi \
  "$root/scripts/gpu_smoke/main.ts" "$@"
