"""Measurements of speed and memory; each module runs by itself and can write its figures as JSON."""
