"""W and H as sites of a NumPyro program: drawn from their priors, beside what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpyro

from bayesnmf.arrays import Array
from bayesnmf.model.completion import put_known

if TYPE_CHECKING:
    from bayesnmf.model.nmf import NMF


def draw_factors(model: NMF, n_rows: int, n_columns: int) -> tuple[Array, Array]:
    """Draw the rates and the free parts of W and H, and return W and H whole.

    Sites "W" and "H" hold free components only; a factor that is known whole has none.
    """
    k = model.n_components
    with numpyro.plate("component", k, dim=-1):
        rates = {
            name: numpyro.sample(name, hyper.distribution())
            for name, hyper in model.hyper_priors.items()
        }
    given, known = model.with_rates(rates), (model.n_known_W, model.n_known_H)
    prior_W, prior_H = (
        prior.of_components(first)
        for prior, first in zip((given.prior_W, given.prior_H), known, strict=True)
    )
    W, H = jnp.zeros((n_rows, k)), jnp.zeros((k, n_columns))
    if known[0] < k:
        with numpyro.plate("row", n_rows, dim=-2), _components(k - known[0], k):
            free = numpyro.sample("W", prior_W.of_entries((n_rows, k - known[0]), axis=1))
        W = free if known[0] == 0 else W.at[:, known[0] :].set(free)
    # A plate keeps one dimension throughout, so a row of H is one event of its component.
    if known[1] < k:
        entries = prior_H.of_entries((k - known[1], n_columns), axis=0)
        entries = entries if entries.batch_shape else entries.expand([n_columns])
        with _components(k - known[1], k):
            free = numpyro.sample("H", entries.to_event(1))
        H = free if known[1] == 0 else H.at[known[1] :].set(free)
    return put_known(model, W, H)


def _components(number: int, n_components: int) -> numpyro.plate:
    """Return the plate of all components, or of the free ones of a factor."""
    return numpyro.plate("component" if number == n_components else "free", number, dim=-1)
