#!/usr/bin/env bash
# The engine on the oldest transformers and on verl's (`make test` has the newest), then verl and Ray for real, under a
# clock: a failed weight transfer in verl waits for ever. With arguments, only what they choose of verl's tests:
# `scripts/test-verl.sh -m "verl and slow"` is both engines, twenty steps, three seeds.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1  # two ranks, a rollout each, and Ray share the cores
python=.venv-verl/bin/python
if [ $# = 0 ]; then
  PYTHONPATH="$PWD/.venv-verl/oldest" $python -m pytest tests/engine
  $python -m pytest tests/engine
fi
exec timeout --kill-after=60 "${DZ_VERL_TIMEOUT:-2700}" \
  $python -m pytest -m "verl and not slow" -W default --durations=20 tests/scale tests/train/test_verl_parity.py "$@"
