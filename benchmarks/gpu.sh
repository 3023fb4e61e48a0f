#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, from a checkout, without installing anything: devices, cuda tests,
# captured steps against launched ones, compute-sanitizer, seven networks beside torch and JAX with
# the nodes of their graphs, naive kernels beside fused ones, ceilings, an epoch. It takes at most
# six minutes and writes into the folder that it is given: summary.json, and for each part a log
# and its figures. With --rehearse before the folder it runs on the fake of CuPy instead, without a
# GPU, in small sizes and as long as it takes. See benchmarks/gpu/.
set -uo pipefail
rehearse=()
if [ "${1:-}" = --rehearse ]; then
  rehearse=(--rehearse)
  shift
fi
out=$(realpath -m "${1:?usage: benchmarks/gpu.sh [--rehearse] FOLDER}")
mkdir -p "$out"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
site=$out/site
trap 'rm -rf "$site" "$out/tmp"' EXIT
mkdir -p "$site"/{cupy,lamina,jax,torch,triton,home,tmp} "$out/tmp"
ln -sfn "$root" "$site/home/lamina"
# All parts share the caches, which go with the run; and whatever else is written is in the folder.
export CUPY_CACHE_DIR=$site/cupy LAMINA_CACHE_DIR=$site/lamina TMPDIR=$site/tmp
export JAX_COMPILATION_CACHE_DIR=$site/jax TORCHINDUCTOR_CACHE_DIR=$site/torch
export TRITON_CACHE_DIR=$site/triton XDG_CACHE_HOME=$site/home CUDA_CACHE_PATH=$site/home/nv
export PYTHONPATH=$site/home${PYTHONPATH:+:$PYTHONPATH}
cd "$root" || exit 2
${PYTHON:-python3} -m lamina.benchmarks.gpu ${rehearse[@]+"${rehearse[@]}"} "$out"
