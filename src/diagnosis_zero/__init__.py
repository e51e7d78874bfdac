"""Reinforcement learning of language models for rare-disease diagnosis. For research, not for patient care."""

__version__ = "0.1.0"
