"""The moves of a sweep, one a file: each leaves the posterior as it is."""
