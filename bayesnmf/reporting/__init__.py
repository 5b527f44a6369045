"""A fit, or a sweep over ranks, on one HTML page."""
