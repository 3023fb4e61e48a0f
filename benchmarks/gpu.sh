#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: the cuda tests, a training on the digits, the benchmark suite, the
# peers and the report in one call. Results go into the folder given as the argument. Needs no
# install: run it from a checkout.
set -uo pipefail
out=${1:?usage: benchmarks/gpu.sh FOLDER}
mkdir -p "$out"
site=$(mktemp -d)
ln -s "$PWD" "$site/lamina"
export PYTHONPATH=$site
{
  date -u
  nvidia-smi
  python3 -m lamina devices --probe
} >"$out/machine.log" 2>&1
python3 -m pytest -q -m cuda tests >"$out/cuda-tests.log" 2>&1
tests=$?
python3 -m lamina train digits --backend cupy >"$out/digits.log" 2>&1
digits=$?
python3 -m lamina bench --json "$out/suite.json" >"$out/suite.log" 2>&1
bench=$?
python3 -m lamina bench peers --peer torch --peer jax --json "$out/peers.json" >"$out/peers.log" 2>&1
peers=$?
python3 -m lamina bench report "$out/suite.json" "$out/peers.json" --html "$out/report.html"
tail -n 3 "$out/cuda-tests.log" "$out/digits.log" "$out/suite.log"
exit $((tests || digits || bench || peers))
