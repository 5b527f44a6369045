"""MCMC: draws from the exact posterior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar

import jax
import numpy as np

from bayesnmf.data import AnyMatrix, Matrix
from bayesnmf.methods.draws import Draws, require_room
from bayesnmf.methods.options import require_counts
from bayesnmf.methods.sampler.nuts import sample_nuts
from bayesnmf.methods.sampler.run import resume_structured, sample_structured
from bayesnmf.model import Model
from bayesnmf.observed import serves_sparse
from bayesnmf.progress import Progress


@dataclass(frozen=True)
class MCMC:
    """Markov chain Monte Carlo: several chains of draws from the posterior.

    Parameters
    ----------
    kernel : {"auto", "structured", "nuts"}, default "auto"
        "structured": moves that know an :class:`bayesnmf.NMF`: Hamiltonian trajectories of all rows
        at once and of both factors together, and exact draws along the scales and shears that
        leave WH unchanged; for Gaussian noise draws from truncated normal distributions. "nuts":
        NumPyro's no-U-turn sampler, for any program. "auto": "structured" for an NMF, else "nuts".
    num_warmup : int, default 300
        Steps of each chain that adapt the sampler and are dropped.
    num_samples : int, default 1000
        Draws kept of each chain.
    num_chains : int, default 4
        Independent chains; convergence can be judged with two or more.
    min_ess : float, optional
        Stop before `num_samples` when R-hat is below 1.01 and ESS, bulk and tail, at least this on everything that
        :func:`bayesnmf.check` judges. It is looked at after 100 draws and whenever their number has grown by half.
        None: make all draws. For the structured kernel, and two chains or more.

    Examples
    --------
    >>> MCMC(num_samples=500).num_chains
    4
    >>> MCMC(min_ess=400, num_samples=5000).min_ess
    400
    """

    kernel: str = "auto"
    num_warmup: int = 300
    num_samples: int = 1000
    num_chains: int = 4
    min_ess: float | None = None

    name: ClassVar[str] = "mcmc"
    needs_density: ClassVar[bool] = True
    _kernels: ClassVar[tuple[str, ...]] = ("auto", "structured", "nuts")

    def __post_init__(self) -> None:
        if self.kernel not in self._kernels:
            raise ValueError(f"unknown kernel {self.kernel!r}; valid: {', '.join(self._kernels)}")
        require_counts(self, num_warmup=0, num_samples=1, num_chains=1)
        if self.min_ess is not None:
            self._check_min_ess(self.min_ess)

    def keeps_sparse(self, model: Model, masked: bool) -> bool:
        """Return whether sparse data, with missing cells or not, need not be expanded."""
        nmf = model.nmf
        return self.kernel != "nuts" and nmf is not None and serves_sparse(nmf, masked)

    def run(self, model: Model, matrix: AnyMatrix, key: jax.Array, progress: Progress) -> Draws:
        """Run the chains; an interruption ends them with the draws made so far."""
        num_draws = self.num_chains * self.num_samples
        require_room(model, matrix, num_draws, "Ask for fewer samples (num_samples) or chains")
        counts: dict[str, Any] = {
            "num_warmup": self.num_warmup,
            "num_samples": self.num_samples,
            "num_chains": self.num_chains,
            "progress": progress,
        }
        if model.nmf is not None and self.kernel != "nuts":
            run = sample_structured(model.nmf, matrix, key, min_ess=self.min_ess, **counts)
            return self._draws(*run)
        if self.kernel == "structured":
            raise ValueError(
                "kernel='structured' knows the structure of a bayesnmf.NMF; for a program use 'nuts'"
            )
        if self.min_ess is not None:
            raise ValueError(
                "min_ess is for the structured kernel, and this fit uses 'nuts': give num_samples instead"
            )
        assert isinstance(matrix, Matrix)  # keeps_sparse is False of what NUTS samples
        return self._draws(*sample_nuts(model, matrix, key, **counts), None)

    def resume(
        self,
        model: Model,
        matrix: AnyMatrix,
        state: dict[str, np.ndarray],
        num_samples: int,
        progress: Progress,
    ) -> Draws:
        """Continue from the state of earlier draws, for `num_samples` more of each chain."""
        assert model.nmf is not None  # no other run leaves a state
        num_draws = self.num_chains * num_samples
        require_room(model, matrix, num_draws, "Ask for fewer samples (num_samples)")
        run = resume_structured(
            model.nmf,
            matrix,
            state,
            num_samples=num_samples,
            num_chains=self.num_chains,
            progress=progress,
        )
        return replace(self, num_samples=num_samples, min_ess=None)._draws(*run)

    def _check_min_ess(self, min_ess: Any) -> None:
        if isinstance(min_ess, bool) or not isinstance(min_ess, Real):
            raise TypeError(f"min_ess must be a number, not {min_ess!r}")
        if not 0 < float(min_ess) < np.inf:
            raise ValueError(f"min_ess must be positive and finite, not {min_ess}")
        if self.num_chains < 2:
            raise ValueError(
                "min_ess needs R-hat, which one chain does not have: set num_chains=2 or more"
            )
        if self.kernel == "nuts":
            raise ValueError("min_ess is for the structured kernel: leave out kernel='nuts'")

    def _draws(
        self,
        sites: dict[str, np.ndarray],
        stats: dict[str, np.ndarray],
        state: dict[str, np.ndarray] | None,
        enough: bool = False,
    ) -> Draws:
        done = stats["lp"].shape[1]
        message = f"{self.num_chains} chain(s) of {done} draws"
        interrupted = done < self.num_samples and not enough
        if enough:
            message += f", with an ESS of at least {self.min_ess:g}"
        if interrupted:
            message += f", interrupted before all {self.num_samples}"
        return Draws(sites, stats, None, message, state=state, interrupted=interrupted)
