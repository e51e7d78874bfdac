"""``dz doctor``: what is wrong with a run, told before it costs a GPU-hour. Read ``examine`` first."""
