"""Many GPUs, many nodes: the same recipe on verl and Ray. Start with ``verl.py``; docs/scale.md tells how to use it."""
