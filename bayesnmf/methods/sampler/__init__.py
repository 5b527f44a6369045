"""The structured sampler: exact moves that know a factorisation, as one NumPyro kernel."""

from __future__ import annotations

from .kernel import NMFKernel, NMFState
from .plan import Plan, plan_for

__all__ = ["NMFKernel", "NMFState", "Plan", "plan_for"]
