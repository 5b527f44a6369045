"""Cases by the hundred that no test would think of; see docs/developer/testing.md.

Every programme is a module with ``run(n, seed)``, which returns one line for each failure.
"""
