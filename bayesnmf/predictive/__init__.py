"""Replicated data, and what they say of a fit."""
