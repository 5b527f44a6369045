"""SVI: a variational approximation of the posterior with NumPyro's stochastic gradients."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache, partial
from threading import Lock
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import SVI as NumPyroSVI
from numpyro.infer import Trace_ELBO, init_to_feasible, init_to_value
from numpyro.infer.autoguide import AutoNormal
from numpyro.optim import Adam

from bayesnmf.data import AnyMatrix, Matrix
from bayesnmf.methods.draws import Draws, require_room
from bayesnmf.methods.optimise.log_map import log_map, log_scales
from bayesnmf.methods.options import require_counts, require_tolerance
from bayesnmf.model import Model
from bayesnmf.model.completion import complete_sites, sites_to_infer
from bayesnmf.model.sites import deterministic_sites, log_joint
from bayesnmf.progress import Progress

#: Steps between two looks at the evidence lower bound.
CHUNK = 1000


#: Looks in a row without improvement after which the bound has converged: one alone is often
#: noise, since the bound climbs slowly along the ridge where W and H trade scale.
PATIENCE = 3


#: First step size of Adam, and the number of steps after which it has halved. The decay in
#: 1 / step meets the Robbins-Monro conditions.
STEP_SIZE, HALF_LIFE = 2e-2, 2000


#: Draws of the guide that estimate the final bound.
NUM_FINAL = 256


#: A shared guide learns its sites while it is first compiled, which one thread must do alone.
_LEARNING = Lock()


type Given = tuple[Any, jax.Array]  # the model, as a pytree, and V


@dataclass(frozen=True)
class SVI:
    """Variational inference with a log-normal guide that treats all entries as independent.

    Starts at the MAP estimate in log space with the scales of its curvature, then maximises the
    evidence lower bound (ELBO). For four million cells or more the start is a coarse MAP estimate, from one
    short search.

    Parameters
    ----------
    algorithm : {"auto", "guide"}, default "auto"
        "guide": NumPyro's stochastic variational inference. "auto" is the best there is for
        the model.
    num_steps : int, default 50000
        Gradient steps at most.
    tol : float, default 1e-5
        Stop when for three times 1000 steps the mean ELBO has not improved by more than `tol` nats
        per observed cell and by more than its Monte Carlo error.
    num_samples : int, default 1000
        Draws from the fitted guide.

    Notes
    -----
    Independence between W and H is wrong: it understates posterior standard deviations, most of all along
    the directions in which W and H trade scale. Use MCMC where intervals matter.

    References
    ----------
    Kucukelbir, A. et al. (2017). Automatic differentiation variational inference. Journal of
    Machine Learning Research 18 (14), 1-45. https://jmlr.org/papers/v18/16-107.html

    Examples
    --------
    >>> SVI(num_samples=200).algorithm
    'auto'
    """

    algorithm: str = "auto"
    num_steps: int = 50_000
    tol: float = 1e-5
    num_samples: int = 1000

    name: ClassVar[str] = "svi"
    needs_density: ClassVar[bool] = True
    _algorithms: ClassVar[tuple[str, ...]] = ("auto", "guide")

    def __post_init__(self) -> None:
        if self.algorithm not in self._algorithms:
            raise ValueError(
                f"unknown algorithm {self.algorithm!r}; valid: {', '.join(self._algorithms)}"
            )
        require_counts(self, num_steps=1, num_samples=1)
        require_tolerance(self.tol)

    def keeps_sparse(self, model: Model, masked: bool) -> bool:
        """Return False: sparse data are expanded."""
        return False

    def run(self, model: Model, matrix: AnyMatrix, key: jax.Array, progress: Progress) -> Draws:
        """Fit the guide and return draws of it as one chain."""
        assert isinstance(matrix, Matrix)  # keeps_sparse is False
        require_room(model, matrix, self.num_samples, "Ask for fewer draws (num_samples)")
        key_map, key_init, key_draws, key_elbo = jax.random.split(key, 4)
        center = log_map(model, matrix, key_map, progress)
        svi, given, state = _started(model, matrix, center, key_init)
        state, n_steps, converged = self._climb(svi, state, given, matrix, progress)
        progress.stage("draws", 1)
        params = svi.get_params(state)
        elbo, error = _final_elbo(svi, params, given, key_elbo)
        draws = _draws(svi, params, key_draws, num_samples=self.num_samples)
        sites = deterministic_sites(model, matrix, jax.tree.map(np.asarray, draws))
        sites = complete_sites(model, sites)
        lp = log_joint(model, matrix, jax.tree.map(np.asarray, draws))
        ended = "converged" if converged else "stopped at num_steps, not converged,"
        if not (np.isfinite(elbo) and all(np.isfinite(x).all() for x in (lp, *sites.values()))):
            converged, ended = False, "stopped at numbers that are not finite, not converged,"
        return Draws(
            sites,
            {"lp": lp},
            converged,
            f"{ended} after {n_steps} steps, ELBO {elbo:.6g} (Monte Carlo error {error:.2g})",
            {"elbo": elbo, "elbo_error": error, "n_iter": n_steps},
        )

    def _climb(
        self, svi: NumPyroSVI, state: Any, given: Given, matrix: Matrix, progress: Progress
    ) -> tuple[Any, int, bool]:
        """Take steps until they no longer improve the bound."""
        n_steps, best, waited = 0, -np.inf, 0
        progress.stage("gradient steps", self.num_steps)
        while n_steps < self.num_steps and waited < PATIENCE:
            steps = min(CHUNK, self.num_steps - n_steps)
            state, losses = _steps(svi, state, given, num_steps=steps)
            bound = -np.asarray(losses, np.float64)
            n_steps += steps
            progress.advance(steps)
            progress.note(f"ELBO {bound.mean():.6g}")
            error = bound.std() / np.sqrt(steps)
            improved = bound.mean() - best > max(self.tol * matrix.cells.size, error)
            waited = 0 if improved else waited + 1
            best = max(best, bound.mean())
        return state, n_steps, waited == PATIENCE


def _started(
    model: Model, matrix: Matrix, center: dict[str, np.ndarray], key: jax.Array
) -> tuple[NumPyroSVI, Given, Any]:
    """Return NumPyro's SVI, its arguments, and its state at the MAP estimate in log space."""
    V = jnp.asarray(matrix.values)
    scales = sites_to_infer(model, log_scales(model, matrix, center))
    center = sites_to_infer(model, center)
    initial = {f"{name}_auto_scale": jnp.asarray(scale) for name, scale in scales.items()}
    if model.nmf is not None:
        svi = _svi_of(jax.tree.structure(model), model.nmf.n_known, V.shape, V.dtype)
        initial |= {f"{name}_auto_loc": jnp.log(value) for name, value in center.items()}
        with _LEARNING:
            return svi, (model, V), _begin(svi, key, (model, V), initial)
    # A program is no data: it is compiled in, with whatever it holds. Supports of its sites may
    # depend on V, so the guide has to see them as numbers.
    given = (jax.tree_util.Partial(model.__call__), V)
    svi = _new_svi(init_to_value(values=center))
    return svi, given, svi.init(key, *given, init_params=initial)


def _new_svi(init_loc_fn: Callable[..., Any]) -> NumPyroSVI:
    """Return NumPyro's SVI with a guide of its own, which learns the sites when it first runs."""
    return NumPyroSVI(
        _run, AutoNormal(_run, init_loc_fn=init_loc_fn), Adam(_step_size), Trace_ELBO()
    )


@lru_cache(maxsize=32)
def _svi_of(
    structure: Hashable, n_known: int, shape: tuple[int, ...], dtype: np.dtype
) -> NumPyroSVI:
    """Return the one that all fits of a model and a shape share, and with it what is compiled.

    Its guide starts at values that are passed, so it needs none of its own.
    """
    return _new_svi(init_to_feasible)


def _run(model: Model, V: jax.Array) -> Any:
    """Run the model as a program of itself and the data, so that its numbers are arguments."""
    return model(V)


def _step_size(step: jax.Array) -> jax.Array:
    return STEP_SIZE / (1.0 + step / HALF_LIFE)


@partial(jax.jit, static_argnames="svi")
def _begin(svi: NumPyroSVI, key: jax.Array, given: Given, initial: dict[str, jax.Array]) -> Any:
    return svi.init(key, *given, init_params=initial)


@partial(jax.jit, static_argnames=("svi", "num_steps"))
def _steps(svi: NumPyroSVI, state: Any, given: Given, *, num_steps: int) -> tuple[Any, jax.Array]:
    return jax.lax.scan(lambda state, _: svi.update(state, *given), state, length=num_steps)


@partial(jax.jit, static_argnames=("svi", "num_samples"))
def _draws(
    svi: NumPyroSVI, params: dict[str, jax.Array], key: jax.Array, *, num_samples: int
) -> dict[str, jax.Array]:
    return svi.guide.sample_posterior(key, params, sample_shape=(1, num_samples))


@partial(jax.jit, static_argnames="svi")
def _losses(
    svi: NumPyroSVI, params: dict[str, jax.Array], given: Given, keys: jax.Array
) -> jax.Array:
    def loss(key: jax.Array) -> jax.Array:
        return svi.loss.loss(key, params, svi.model, svi.guide, *given)

    return jax.lax.map(loss, keys)


def _final_elbo(
    svi: NumPyroSVI, params: dict[str, jax.Array], given: Given, key: jax.Array
) -> tuple[float, float]:
    """Estimate the bound by independent draws of the guide, and the estimate's error."""
    bound = -np.asarray(_losses(svi, params, given, jax.random.split(key, NUM_FINAL)), np.float64)
    return float(bound.mean()), float(bound.std(ddof=1) / np.sqrt(NUM_FINAL))
