"""MCMC: draws from the exact posterior with NumPyro's samplers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import MCMC as NumPyroMCMC
from numpyro.infer import NUTS
from numpyro.infer.util import unconstrain_fn

from bayesnmf.data import Matrix
from bayesnmf.model import Model

from .draws import Draws
from .log_mode import log_mode
from .options import require_counts
from .programs import deterministic_sites, log_joint

#: Chains start this far apart, in standard deviations of every unconstrained coordinate.
JITTER = 0.1
#: NumPyro's names of sampler statistics, by ArviZ's.
STATISTICS = {
    "acceptance_rate": "accept_prob",
    "diverging": "diverging",
    "n_steps": "num_steps",
    "energy": "energy",
}


@dataclass(frozen=True)
class MCMC:
    """Markov chain Monte Carlo: several chains of draws from the posterior.

    Parameters
    ----------
    kernel : {"auto", "nuts"}, default "auto"
        "nuts": NumPyro's no-U-turn sampler, started near the mode in log space. "auto" is the
        fastest sampler there is for the model.
    num_warmup : int, default 1000
        Steps of each chain that adapt the sampler and are dropped.
    num_samples : int, default 1000
        Draws kept of each chain.
    num_chains : int, default 4
        Independent chains; convergence can be judged with two or more.

    References
    ----------
    Hoffman, M. D. and Gelman, A. (2014). The No-U-Turn sampler. Journal of Machine Learning
    Research 15, 1593-1623. https://jmlr.org/papers/v15/hoffman14a.html

    Examples
    --------
    >>> MCMC(num_samples=500).num_chains
    4
    """

    kernel: str = "auto"
    num_warmup: int = 1000
    num_samples: int = 1000
    num_chains: int = 4

    name: ClassVar[str] = "mcmc"
    needs_density: ClassVar[bool] = True
    _kernels: ClassVar[tuple[str, ...]] = ("auto", "nuts")

    def __post_init__(self) -> None:
        if self.kernel not in self._kernels:
            raise ValueError(f"unknown kernel {self.kernel!r}; valid: {', '.join(self._kernels)}")
        require_counts(self, num_warmup=0, num_samples=1, num_chains=1)

    def keeps_sparse(self, model: Model, masked: bool) -> bool:
        """Return False: sparse data are expanded."""
        return False

    def run(self, model: Model, matrix: Matrix, key: jax.Array, progress: bool) -> Draws:
        """Run the chains."""
        key_mode, key_jitter, key_chains = jax.random.split(key, 3)
        V = jnp.asarray(matrix.values)
        mode = log_mode(model, matrix, key_mode, progress)
        starts = _jittered(unconstrain_fn(model, (V,), {}, mode), key_jitter, self.num_chains)
        # On one device chains run after one another: in lockstep each would wait for the
        # longest trajectory of any.
        parallel = 1 < self.num_chains <= jax.local_device_count()
        sampler = NumPyroMCMC(
            NUTS(model),
            num_warmup=self.num_warmup,
            num_samples=self.num_samples,
            num_chains=self.num_chains,
            chain_method="parallel" if parallel else "sequential",
            progress_bar=progress,
        )
        if self.num_chains == 1:
            starts = jax.tree.map(lambda x: x[0], starts)
        sampler.run(key_chains, V, init_params=starts, extra_fields=tuple(STATISTICS.values()))
        sites = jax.tree.map(np.asarray, sampler.get_samples(group_by_chain=True))
        extra = sampler.get_extra_fields(group_by_chain=True)
        stats = {name: np.asarray(extra[field]) for name, field in STATISTICS.items()}
        stats["lp"] = log_joint(model, matrix, sites)
        return Draws(deterministic_sites(model, matrix, sites), stats, None, _describe(self))


def _jittered(start: dict[str, jax.Array], key: jax.Array, num_chains: int) -> dict[str, jax.Array]:
    """Repeat a start once a chain, with independent noise."""
    keys = jax.random.split(key, len(start))
    return {
        name: value[None]
        + JITTER * jax.random.normal(k, (num_chains, *jnp.shape(value)), value.dtype)
        for (name, value), k in zip(start.items(), keys, strict=True)
    }


def _describe(method: MCMC) -> str:
    return f"{method.num_chains} chain(s) of {method.num_samples} draws"
