"""Non-negative matrix factorisation as Bayesian inference."""

from bayesnmf.model import NMF

__all__ = ["NMF"]
