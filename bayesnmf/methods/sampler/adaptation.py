"""Step sizes by dual averaging, for one number or for every row at once."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from numpyro.infer.hmc_util import dual_averaging

from bayesnmf.arrays import Array

#: Acceptance that the step sizes aim at.
TARGET = 0.8


#: Constants of Hoffman and Gelman (2014): shrinkage, delay and forgetting.
SHRINKAGE, DELAY, FORGETTING = 0.05, 10.0, 0.75

#: NumPyro's update works number by number, so also on a step size for every row.
_update = dual_averaging(t0=DELAY, kappa=FORGETTING, gamma=SHRINKAGE)[1]


class StepSize(NamedTuple):
    """The state of dual averaging.

    References
    ----------
    Hoffman, M. D. and Gelman, A. (2014). The No-U-Turn sampler. Journal of Machine Learning
    Research 15, 1593-1623, section 3.2. https://jmlr.org/papers/v15/hoffman14a.html
    """

    log_step: Array
    log_average: Array
    error: Array
    anchor: Array
    n_updates: Array


def first_step_size(log_step: Array) -> StepSize:
    """Return the state that begins at a step size and looks for larger ones first.

    Examples
    --------
    >>> first_step_size(jnp.zeros(3)).n_updates.shape
    (3,)
    """
    zero = jnp.zeros_like(log_step)
    return StepSize(log_step, log_step, zero, log_step + jnp.log(2.0).astype(log_step.dtype), zero)


def update(state: StepSize, acceptance: Array) -> StepSize:
    """Move towards the target after a proposal accepted with the given probability."""
    log_step, log_average, error, anchor, n_updates = state
    moved = _update(TARGET - acceptance, (log_step, log_average, error, n_updates, anchor))
    log_step, log_average, error, n_updates, anchor = moved
    return StepSize(log_step, log_average, error, anchor, n_updates)
