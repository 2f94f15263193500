"""Fault points: what can go wrong at each point of the kernel, for how long, for whom, and who notices."""
