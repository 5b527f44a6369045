"""NumPyro's stochastic variational inference: a log-normal guide whose entries are independent, for any program."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from threading import Lock
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import SVI as NumPyroSVI
from numpyro.infer import Trace_ELBO, init_to_feasible, init_to_value
from numpyro.infer.autoguide import AutoNormal
from numpyro.optim import Adam

from bayesnmf.data import Matrix
from bayesnmf.methods.optimise.log_map import log_map, log_scales
from bayesnmf.model import Model
from bayesnmf.model.completion import sites_to_infer
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


class Guide(NamedTuple):
    """A fitted guide.

    Attributes
    ----------
    svi : numpyro.infer.SVI
    params : dict of arrays
        Of the guide: ``<site>_auto_loc`` and ``<site>_auto_scale``, in unconstrained space.
    given : tuple
        Arguments of the program.
    n_iter : int
    converged : bool
    """

    svi: NumPyroSVI
    params: dict[str, jax.Array]
    given: Given
    n_iter: int
    converged: bool

    def draws(self, key: jax.Array, num_samples: int) -> dict[str, np.ndarray]:
        """Return draws of every site of the program, (1, draw, ...)."""
        drawn = _draws(self.svi, self.params, key, num_samples=num_samples)
        return {name: np.asarray(x) for name, x in drawn.items()}

    def bound(self, key: jax.Array) -> tuple[float, float]:
        """Estimate the bound by independent draws, and the estimate's error."""
        keys = jax.random.split(key, NUM_FINAL)
        bound = -np.asarray(_losses(self.svi, self.params, self.given, keys), np.float64)
        return float(bound.mean()), float(bound.std(ddof=1) / np.sqrt(NUM_FINAL))

    def log_normal(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the logarithm of a positive site."""
        loc, scale = (self.params[f"{name}_auto_{what}"] for what in ("loc", "scale"))
        return np.asarray(loc, np.float64), np.asarray(scale, np.float64)


def fitted_guide(
    model: Model,
    matrix: Matrix,
    keys: tuple[jax.Array, jax.Array],
    *,
    num_steps: int,
    tol: float,
    progress: Progress,
) -> Guide:
    """Start at the MAP estimate in log space, and take gradient steps until they no longer raise the bound."""
    center = log_map(model, matrix, keys[0], progress)
    svi, given, state = _started(model, matrix, center, keys[1])
    n_steps, best, waited = 0, -np.inf, 0
    progress.stage("gradient steps", num_steps)
    while n_steps < num_steps and waited < PATIENCE:
        steps = min(CHUNK, num_steps - n_steps)
        state, losses = _steps(svi, state, given, num_steps=steps)
        bound = -np.asarray(losses, np.float64)
        n_steps += steps
        progress.advance(steps)
        progress.note(f"ELBO {bound.mean():.6g}")
        error = bound.std() / np.sqrt(steps)
        improved = bound.mean() - best > max(tol * matrix.cells.size, error)
        waited = 0 if improved else waited + 1
        best = max(best, bound.mean())
    return Guide(svi, svi.get_params(state), given, n_steps, waited == PATIENCE)


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
