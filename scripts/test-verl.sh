#!/usr/bin/env bash
# The tests that run verl and Ray for real, under a clock: a failed weight transfer in verl waits for ever.
# With `-m "verl and slow"`: both engines, twenty steps, three seeds.
set -euo pipefail
cd "$(dirname "$0")/.."
exec timeout --kill-after=60 "${DZ_VERL_TIMEOUT:-2700}" .venv-verl/bin/python -m pytest -m "verl and not slow" -W default tests/scale tests/train/test_verl_parity.py "$@"
