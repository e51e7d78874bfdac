"""The engine: generate and differentiate groups of completions that share a prompt, paying for the prompt once.

It knows no medicine: useful for any task with long prompts and many samples of each.
"""

import os

# Huge pages for PyTorch's large CPU tensors: a step's activations are mapped afresh each time, and a page of 4 kB at a
# time that costs as much as the arithmetic between two of them. Read by PyTorch at its first allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
