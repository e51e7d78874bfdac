#!/usr/bin/env bash
# Make .venv-verl: verl, Ray and this project, for tests on a CPU. (On GPUs, install as docs/scale.md says.)
# PYTHON: the interpreter (3.11 or newer). TORCH_INDEX: where to take torch from (see README, "Install").
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
[ -x .venv-verl/bin/python ] || "$python" -m venv .venv-verl
pip=".venv-verl/bin/python -m pip --disable-pip-version-check -q"
cpu_index=https://download.pytorch.org/whl/cpu
if [ -z "${TORCH_INDEX:-}" ] && [ "$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null; then
  .venv-verl/bin/python -c "import urllib.request as u; u.urlopen('$cpu_index/torch/', timeout=5)" 2>/dev/null && TORCH_INDEX=$cpu_index
fi
torch=$(grep '^torch==' constraints-verl.txt)
$pip install --no-deps ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "$torch"
$pip install -c constraints-verl.txt -e ".[verl]" pytest hypothesis
# The oldest transformers that the package admits, beside the one that verl has: the engine is tested on both.
$pip install --no-deps --target .venv-verl/oldest --upgrade transformers==5.5.0
touch .venv-verl/.installed
