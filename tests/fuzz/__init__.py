"""Unusual cases by the hundred; see docs/developer/testing.md.

Every program is a module with ``run(n, seed)``, which returns one line for each failure.
"""
