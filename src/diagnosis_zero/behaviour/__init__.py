"""What completions look like: pure functions from text to features. Reads no files but ``analyse``; no torch."""
