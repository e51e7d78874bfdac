"""Disease names: what a name is, whether two of them name one disease, and the catalogue that knows."""
