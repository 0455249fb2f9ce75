#!/bin/sh
# Checks the pieces of a pack of scripts/gpu_pack.sh that lie beside this script, joins them and unpacks them.
# Usage: sh unpack.sh [FOLDER]   (default: lockstep-gpu beside this script)
set -eu
here=$(CDPATH='' cd "$(dirname "$0")" && pwd)
target=${1:-$here/lockstep-gpu}
manifest=$here/manifest.txt
fail() { echo "error: $*" >&2; exit 1; }

[ -f "$manifest" ] || fail "There is no manifest.txt beside unpack.sh: copy it here, too"
[ "$(head -n 1 "$manifest")" = "lockstep-gpu-pack 1" ] || fail "$manifest is not a manifest of this version"
value() { sed -n "s/^$1 //p" "$manifest" | head -n 1; }
compressor=$(value compressor)
if command -v "$compressor" >/dev/null 2>&1; then expand() { "$compressor" -dc; }
elif [ "$compressor" = xz ] && command -v python3 >/dev/null 2>&1; then
  expand() { python3 -c 'import lzma, shutil, sys
shutil.copyfileobj(lzma.open(sys.stdin.buffer), sys.stdout.buffer, 1 << 20)'; }
else fail "$compressor is needed to unpack and isn't on PATH: install it"
fi
if [ -e "$target" ] && [ -n "$(ls -A "$target")" ]; then
  fail "$target isn't empty: remove it, or name another folder"
fi

missing='' damaged='' names=''
while read -r kind name bytes sha256; do
  [ "$kind" = piece ] || continue
  names="$names $name"
  if [ ! -f "$here/$name" ]; then missing="$missing $name"
  elif [ "$(wc -c <"$here/$name" | tr -d ' ')" != "$bytes" ] ||
    [ "$(sha256sum <"$here/$name" | cut -d ' ' -f 1)" != "$sha256" ]; then damaged="$damaged $name"
  fi
done <"$manifest"
[ -z "$missing" ] || fail "Missing pieces:$missing; copy them to $here"
[ -z "$damaged" ] || fail "Damaged pieces:$damaged; copy them to $here again"

mkdir -p "$target"
target=$(CDPATH='' cd "$target" && pwd)
cd "$here"
# A failure of the first program of the pipe shows in the second one.
# shellcheck disable=SC2086 # names of pieces have no spaces
cat $names | expand | tar -xf - -C "$target" || fail "The pieces can't be unpacked into $target"
cat >"$target/gpu_pack_env.sh" <<END
# Sets up a shell for this pack: . $target/gpu_pack_env.sh
export PATH="$target/bin:\$PATH"
export DENO_DIR="$target/deno_dir"
export DENO_NO_UPDATE_CHECK=1
export LOCKSTEP_CACHE="\${LOCKSTEP_CACHE:-$target/cache}"
# Kernels that the pack left out are never loaded.
export CUDA_MODULE_LOADING=LAZY
END
echo "Unpacked into $target; now run: $target/lockstep/scripts/gpu_smoke.sh"
