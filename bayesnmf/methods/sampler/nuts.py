"""NUTS: NumPyro's no-U-turn sampler for any program, started near the MAP estimate in log space."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import MCMC as NumPyroMCMC
from numpyro.infer import NUTS
from numpyro.infer.util import unconstrain_fn

from bayesnmf.data import Matrix
from bayesnmf.methods.optimise.log_map import log_map
from bayesnmf.model import Model
from bayesnmf.model.completion import complete_sites, sites_to_infer
from bayesnmf.model.sites import deterministic_sites, log_joint

#: Chains start this far apart, in standard deviations of every unconstrained coordinate.
JITTER = 0.1


#: NumPyro's names of sampler statistics, by ArviZ's.
STATISTICS = {
    "acceptance_rate": "accept_prob",
    "diverging": "diverging",
    "n_steps": "num_steps",
    "energy": "energy",
}


type Run = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def sample_nuts(
    model: Model,
    matrix: Matrix,
    key: jax.Array,
    *,
    num_warmup: int,
    num_samples: int,
    num_chains: int,
    progress: bool,
) -> Run:
    """Run chains and return sites and sampler statistics, each (chain, draw, …).

    References
    ----------
    Hoffman, M. D. and Gelman, A. (2014). The No-U-Turn sampler. Journal of Machine Learning
    Research 15, 1593-1623. https://jmlr.org/papers/v15/hoffman14a.html
    """
    key_map, key_jitter, key_chains = jax.random.split(key, 3)
    V = jnp.asarray(matrix.values)
    center = sites_to_infer(model, log_map(model, matrix, key_map, progress))
    starts = _jittered(unconstrain_fn(model, (V,), {}, center), key_jitter, num_chains)
    # On one device chains run after one another: in lockstep each would wait for the
    # longest trajectory of any.
    parallel = 1 < num_chains <= jax.local_device_count()
    sampler = NumPyroMCMC(
        NUTS(model),
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method="parallel" if parallel else "sequential",
        progress_bar=progress,
    )
    if num_chains == 1:
        starts = jax.tree.map(lambda x: x[0], starts)
    sampler.run(key_chains, V, init_params=starts, extra_fields=tuple(STATISTICS.values()))
    sites = jax.tree.map(np.asarray, sampler.get_samples(group_by_chain=True))
    extra = sampler.get_extra_fields(group_by_chain=True)
    stats = {name: np.asarray(extra[field]) for name, field in STATISTICS.items()}
    stats["lp"] = log_joint(model, matrix, sites)
    return complete_sites(model, deterministic_sites(model, matrix, sites)), stats


def _jittered(start: dict[str, jax.Array], key: jax.Array, num_chains: int) -> dict[str, jax.Array]:
    """Repeat a start once a chain, with independent noise."""
    keys = jax.random.split(key, len(start))
    return {
        name: value[None]
        + JITTER * jax.random.normal(k, (num_chains, *jnp.shape(value)), value.dtype)
        for (name, value), k in zip(start.items(), keys, strict=True)
    }
