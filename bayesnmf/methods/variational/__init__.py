"""Variational inference: independent distributions of all entries, and what independence leaves out."""
