"""``python -m diagnosis_zero.cli``: the same as ``dz``."""

from diagnosis_zero.cli import main

main()
