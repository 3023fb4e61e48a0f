#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, from a checkout, without installing anything: devices, cuda tests,
# captured steps against launched ones, compute-sanitizer, seven networks beside torch and JAX with
# the nodes of their graphs, naive kernels beside fused ones, ceilings, an epoch. It takes at most six minutes and writes into the folder that it is given:
# summary.json, and for each part a log and its figures. See benchmarks/gpu/.
set -uo pipefail
out=$(realpath -m "${1:?usage: benchmarks/gpu.sh FOLDER}")
mkdir -p "$out"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
ln -s "$root" "$site/lamina"
mkdir "$site/cupy-cache" "$site/lamina-cache"
# Caches go with the run: all parts share them, and nothing is left behind.
export CUPY_CACHE_DIR=$site/cupy-cache LAMINA_CACHE_DIR=$site/lamina-cache PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
cd "$root" || exit 2
${PYTHON:-python3} -m lamina.benchmarks.gpu "$out"
