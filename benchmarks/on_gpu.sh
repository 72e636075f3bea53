#!/usr/bin/env bash
# All that needs a GPU, most important first, within the ten minutes of one call: what CUDA computes agrees with the CPU
# and with eager steps, the step benchmark, the memory estimate against measured peaks, the AMP study.
# Results go to $OUT, by default benchmarks/results. Needs voxtune's dependencies in this Python, and pytest.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-benchmarks/results}
export PYTHONPATH="$PWD:$PWD/benchmarks${PYTHONPATH:+:$PYTHONPATH}"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
timeout 90 python3 -m pytest -q -m gpu tests 2>&1 | tail -n 20
timeout 270 python3 benchmarks/step.py --minutes 4 --out "$out"
timeout 100 python3 benchmarks/memory_estimate.py --out "$out" 2>&1 | tail -n 40
timeout 120 python3 -m tuner.cli study amp --patch 96,128 --batch 2,4 --steps 200 --seconds 5 --seeds 2 -o "$out/amp-study"
