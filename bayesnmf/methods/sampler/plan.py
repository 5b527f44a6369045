"""Which moves a sweep consists of: the part of the sampler that selects code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled

#: Steps of a joint trajectory in a problem of a thousand unknowns or fewer.
LEAPFROGS = 16


#: Steps of a row's trajectory where the other factor is known, and of that of all rates. Steps are half as long
#: as the posterior is wide, so four go a quarter of the way around; rates, some of which have long tails, take more.
ROW_LEAPFROGS, RATE_LEAPFROGS = 4, 12


#: Unknowns above which a joint trajectory would take a hundred times as long as a truncated sweep.
MANY = 10_000


@dataclass(frozen=True)
class Plan:
    """The moves of one sweep; equal plans share one compilation.

    Parameters
    ----------
    factors : {"block", "truncated"}
        How W given H and H given W are moved: by row-parallel Hamiltonian trajectories, or
        column by column from truncated normal distributions.
    exponential : bool
        Whether both priors are exponential, so that shears can be drawn exactly.
    block_leapfrogs, joint_leapfrogs : int
        Steps of a row-parallel trajectory, and of the joint one: of both factors or, where one is
        known, of the rates of the other.
    moves_jointly : bool
        Whether there is a joint trajectory.
    single_precision : bool
        Whether trajectories meet the cells in single precision.

    Examples
    --------
    >>> Plan(joint_leapfrogs=8).factors
    'block'
    """

    factors: Literal["block", "truncated"] = "block"
    exponential: bool = True
    block_leapfrogs: int = 2
    joint_leapfrogs: int = LEAPFROGS
    moves_jointly: bool = True
    single_precision: bool = False

    @property
    def adapts(self) -> bool:
        """Whether warm-up has anything to tune: truncated normal draws are exact."""
        return self.factors == "block" or self.moves_jointly


def row_plan(*, single_precision: bool) -> Plan:
    """Return the moves of one factor's rows, given the other factor."""
    return Plan(
        block_leapfrogs=ROW_LEAPFROGS,
        joint_leapfrogs=RATE_LEAPFROGS,
        moves_jointly=False,
        single_precision=single_precision,
    )


def plan_for(model: NMF, data: Sampled) -> Plan:
    """Return the moves that suit a model and its data.

    Parameters
    ----------
    model : NMF
        Resolved: its priors have rates.
    data : Sampled
        What it is conditioned on.

    Returns
    -------
    Plan
        Truncated normal draws where they apply: Gaussian noise of one sigma, exponential priors
        and no missing cell; else Hamiltonian moves.
    """
    exponential = bool(np.all(model.prior_W.shape == 1.0) and np.all(model.prior_H.shape == 1.0))
    # A stable step shrinks with the fourth root of the number of unknowns; a trajectory is to
    # be as long in any problem.
    known, (n_rows, n_columns) = (model.n_known_W, model.n_known_H), data.shape
    free_W, free_H = (model.n_components - number for number in known)
    unknowns = free_W * n_rows + free_H * n_columns
    # With one factor known, the rows of the other are independent: there is nothing to move jointly.
    coupled = min(free_W, free_H) > 0
    leapfrogs = max(LEAPFROGS, round(LEAPFROGS * (unknowns / 1000) ** 0.25))
    if model.likelihood.constant_variance and exponential and data.is_complete:
        jointly = coupled and unknowns <= MANY
        return Plan("truncated", moves_jointly=jointly, joint_leapfrogs=leapfrogs)
    if not coupled:
        return row_plan(single_precision=data.fits_single_precision(model))
    return Plan(
        exponential=exponential,
        joint_leapfrogs=leapfrogs,
        single_precision=data.fits_single_precision(model),
    )
