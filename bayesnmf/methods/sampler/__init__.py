"""The structured sampler: exact moves that know a factorisation, as one NumPyro kernel."""

from __future__ import annotations

from bayesnmf.methods.sampler.kernel import NMFKernel, NMFState
from bayesnmf.methods.sampler.plan import Plan, plan_for

__all__ = ["NMFKernel", "NMFState", "Plan", "plan_for"]
