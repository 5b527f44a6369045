"""Timings, side by side in one process; run by hand: ``python -m benchmarks map``."""
