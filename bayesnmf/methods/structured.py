"""The structured sampler, from a mode for each chain to its draws."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from bayesnmf.data import Matrix
from bayesnmf.model import NMF

from .log_mode import log_modes
from .observed import cells_of
from .sampler import chains, plan_for

type Run = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def sample_structured(
    model: NMF, matrix: Matrix, key: jax.Array, *, num_warmup: int, num_samples: int,
    num_chains: int, progress: bool,
) -> Run:  # fmt: skip
    """Run chains, each from its own mode, and return sites and statistics (chain, draw, …).

    Ctrl-C ends the run; once there are draws they are returned.
    """
    key_modes, key_chains = jax.random.split(key)
    modes = log_modes(model, matrix, key_modes, num_chains, progress)
    values = {name: jnp.stack([jnp.asarray(mode[name]) for mode in modes]) for name in modes[0]}
    data = cells_of(model, matrix)
    plan = plan_for(model, data)
    state = chains.begin(model, data, values, key_chains, num_warmup)
    chunks = []
    total = num_warmup + num_samples
    with tqdm(total=total, desc="mcmc", disable=not progress, leave=False) as bar:
        try:
            for chunk in chains.draw(plan, model, data, state, num_samples):
                chunks.append(chunk)
                bar.update(int(chunk.state.i) - bar.n)
                bar.set_postfix(
                    stage="warm-up" if bar.n <= num_warmup else "sampling",
                    acceptance=f"{float(jnp.mean(chunk.state.accept_prob)):.2f}", refresh=False,
                )  # fmt: skip
        except KeyboardInterrupt:
            if not any(chunk.stats["log_joint"].shape[1] for chunk in chunks):
                raise
    sites = _joined([chunk.sites for chunk in chunks])
    stats = _joined([chunk.stats for chunk in chunks])
    names = {"log_joint": "lp", "accept_prob": "acceptance_rate"}
    return sites, {names.get(name, name): value for name, value in stats.items()}


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
