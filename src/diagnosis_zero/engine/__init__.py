"""The engine: generate and differentiate groups of completions that share a prompt, paying for the prompt once.

It knows no medicine: useful for any task with long prompts and many samples of each.
"""

from diagnosis_zero.engine.host import keep_memory

keep_memory()
