"""New rows: their W, given what a fit has learned of H."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from time import perf_counter

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bayesnmf.arrays import record
from bayesnmf.data import AnyMatrix, MatrixLike
from bayesnmf.data.labels import matched
from bayesnmf.data.storage import matrix_of
from bayesnmf.likelihoods import Likelihood
from bayesnmf.methods import MAP, MCMC, Draws
from bayesnmf.methods.optimise.initial import generator_of, random_start
from bayesnmf.methods.sampler.rows import draw_rows, given_draw
from bayesnmf.model import NMF
from bayesnmf.observed import observe_for_sampling
from bayesnmf.posterior.assembly import assemble
from bayesnmf.posterior.method_record import OPTIONS, method_of
from bayesnmf.posterior.original import original_factors
from bayesnmf.posterior.requirements import require_model, require_one_mode
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.thinning import kept_draws, with_draws
from bayesnmf.posterior.verdict import finished
from bayesnmf.progress import Silent


def transform(
    fit: Fit,
    V_new: MatrixLike,
    *,
    rows: Sequence[Hashable] | None = None,
    columns: Sequence[Hashable] | None = None,
    layer: str | None = None,
    num_samples: int = 400,
    seed: int = 0,
    **known: ArrayLike,
) -> Fit:
    """Infer W of new rows, given what a fit has learned of H.

    For a fit with draws, W of the new rows is drawn once given each of some draws of H and of the
    likelihood's parameters. So its intervals carry the uncertainty of H. For a MAP estimate it is the MAP
    estimate given that of H. New rows do not change H, nor anything else that the fit has learned:
    to learn from them, fit all rows together.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit` of a :class:`bayesnmf.NMF`.
    V_new : array, table, SciPy sparse or AnnData of shape (n_new_rows, n_columns)
        New rows; NaN means missing. Columns are matched by name with those of the fit; where they have
        no names, they are taken by position.
    rows, columns, layer : optional
        As for :func:`bayesnmf.fit`: names for new rows that have none, and the layer of an AnnData.
    num_samples : int, default 400
        Draws of H over all chains, evenly spaced in each; at most all of them are used.
    seed : int, default 0
        The same seed gives the same draws.
    **known : array
        Known parameters of the likelihood for the new rows, such as ``exposure``. Where those of the
        fit were arrays, they must be given.

    Returns
    -------
    Fit
        Of the new rows. Its components are those of `fit`, in the same order and with the same names.

    Raises
    ------
    ValueError
        For other columns than those of the fit, a program, chains in several modes, and known
        arrays that are missing.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(12, 6, 2, "poisson", seed=1)
    >>> fit = bn.fit(V[:8], bn.NMF(2), "map", progress=False)
    >>> transform(fit, V[8:]).W.shape
    (4, 2)
    """
    begin, learned = perf_counter(), learned_from(fit, num_samples)
    method = MCMC() if fit.method != "map" else MAP()
    matrix = matrix_of(
        V_new,
        lambda masked: method.keeps_sparse(learned.model, masked),
        rows=rows,
        columns=columns,
        layer=layer,
    )
    matrix = learned.with_names(matrix)
    model = learned.for_rows(matrix, known)
    with jax.enable_x64(matrix.dtype == np.float64):
        model.likelihood.check(matrix, quasi=fit.method == "map")
        draws = (_best if fit.method == "map" else _drawn)(learned, model, matrix, seed)
        attrs = {
            name: fit.tree.attrs[name] for name in ("method", OPTIONS) if name in fit.tree.attrs
        }
        attrs |= {"bayesnmf_version": version("bayesnmf"), "seed": int(seed)}
        attrs["seconds"] = perf_counter() - begin
        names = fit.tree["posterior"]["component"].to_numpy()
        tree = assemble(draws, model, matrix, attrs, names=names, fixed=True)
    return finished(tree, model)


@dataclass(frozen=True)
class Learned:
    """Some draws of a fit, all but W.

    Parameters
    ----------
    fit : Fit
    model : NMF
    H : ndarray of shape (draw, component, column)
        As it was sampled, before it was scaled.
    others : dict of ndarray of shape (draw,) or (draw, component)
        The likelihood's parameters and the rates.
    """

    fit: Fit
    model: NMF
    H: np.ndarray
    others: dict[str, np.ndarray]

    def for_rows(self, matrix: AnyMatrix, known: dict[str, ArrayLike]) -> NMF:
        """Return the model of new rows."""
        shape, rate = self.model.prior_W.shape, self.model.prior_W.rate
        if any(np.ndim(x) == 2 and np.shape(x)[1] > 1 for x in (shape, rate)):
            raise ValueError(
                "prior_W of the fit has a table over its own rows, which says nothing of new ones: fit with "
                "a prior that is the same for all rows"
            )
        likelihood = _likelihood_of(self.model.likelihood, matrix, known)
        return record(NMF, **{**vars(self.model), "likelihood": likelihood, "W": None, "H": None})

    def with_names(self, matrix: AnyMatrix) -> AnyMatrix:
        """Return new rows with the fit's names of columns where they have none of their own."""
        n_columns, columns = self.H.shape[-1], self.fit.tree["posterior"].indexes["column"]
        if matrix.n_columns != n_columns:
            raise ValueError(
                f"the new rows have {matrix.n_columns} columns, but the fit has {n_columns}: give a value, "
                "or NaN, for every column of the fit, and no other"
            )
        unnamed = matrix.column_names.equals(pd.RangeIndex(n_columns))
        return replace(matrix, column_names=columns) if unnamed else matrix

    def order_in(self, matrix: AnyMatrix) -> np.ndarray:
        """Return which column of the fit each column of the new rows is."""
        columns = self.fit.tree["posterior"].indexes["column"]
        places = pd.DataFrame([np.arange(len(columns))], columns=columns)
        order = matched(places, None, matrix.column_names, "the fit", owner="the new rows")
        return np.asarray(order).reshape(-1)

    def in_order_of(self, matrix: AnyMatrix) -> np.ndarray:
        """Return H with its columns in the order of new rows."""
        return self.H[..., self.order_in(matrix)].astype(matrix.dtype)


def learned_from(fit: Fit, num_samples: int) -> Learned:
    """Return some draws of a fit, evenly spaced in each chain."""
    require_one_mode(fit)
    model = require_model(fit, "transforming new rows").nmf
    if model is None:
        raise ValueError("new rows are transformed by an NMF only, and this fit is of a program")
    sizes = fit.tree["posterior"].sizes
    kept = with_draws(fit, kept_draws(sizes["chain"], sizes["draw"], num_samples))
    posterior = kept.tree["posterior"].dataset
    others = {
        str(name): x.to_numpy().reshape(-1, *x.shape[2:])
        for name, x in posterior.data_vars.items()
        if name not in ("W", "H")
    }
    return Learned(kept, model, original_factors(kept)[1], others)


def _likelihood_of(
    likelihood: Likelihood, matrix: AnyMatrix, known: dict[str, ArrayLike]
) -> Likelihood:
    """Return the likelihood of new rows, with what is known of them."""
    for name in known:
        if name not in likelihood.parameters:
            valid = ", ".join(likelihood.parameters)
            raise TypeError(
                f"the {likelihood.name.replace('_', ' ')} likelihood has no parameter {name!r}; valid: {valid}"
            )
    for name, value in likelihood.known.items():
        if np.ndim(value) and name not in known:
            raise ValueError(
                f"the {name} of the fit is an array over its own rows: give that of the new rows, as {name}="
            )
    return replace(likelihood, **known).resolve(matrix) if known else likelihood


def _drawn(learned: Learned, model: NMF, matrix: AnyMatrix, seed: int) -> Draws:
    """Draw W given each draw of all else."""
    key_start, key_rows = jax.random.split(jax.random.key(seed))
    start, _ = random_start(model, matrix, generator_of(key_start))
    H, sizes = learned.in_order_of(matrix), learned.fit.tree["posterior"].sizes
    others = {name: x.astype(matrix.dtype) for name, x in learned.others.items()}
    H_draws, other_draws, first = jax.tree.map(jnp.asarray, (H, others, start))
    data = observe_for_sampling(model, matrix)
    W, lp = draw_rows(model, data, H_draws, other_draws, first, key_rows)
    lead = sizes["chain"], sizes["draw"]
    sites = {"W": np.asarray(W), "H": H, **others}
    sites = {name: x.reshape(*lead, *x.shape[1:]) for name, x in sites.items()}
    message = f"{matrix.n_rows} new rows, given {len(H)} draws of H from a fit whose message is: "
    message += learned.fit.message
    return Draws(sites, {"lp": np.asarray(lp).reshape(lead)}, learned.fit.converged, message)


def _best(learned: Learned, model: NMF, matrix: AnyMatrix, seed: int) -> Draws:
    """Find the MAP estimate of W given that of all else."""
    H = learned.in_order_of(matrix)[0]
    others = {name: x[0].astype(matrix.dtype) for name, x in learned.others.items()}
    given = given_draw(model, jnp.asarray(H), {name: jnp.asarray(x) for name, x in others.items()})
    method = method_of(learned.fit)
    assert isinstance(method, MAP)
    found = replace(method, init="random").run(given, matrix, jax.random.key(seed), Silent())
    sites = {"W": found.sites["W"], "H": H[None, None]}
    sites |= {name: x[None, None] for name, x in others.items()}
    return replace(found, sites=sites)
