"""Evaluation: answers, verdicts, and figures with intervals. Never imports torch or ``train``."""
