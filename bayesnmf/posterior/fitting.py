"""fit and resume: from data and a model to a posterior."""

from __future__ import annotations

import json
import warnings
from collections.abc import Hashable, Sequence
from importlib.metadata import version
from time import perf_counter

import jax
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from bayesnmf.data import AnyMatrix, MatrixLike
from bayesnmf.data.storage import matrix_of
from bayesnmf.methods import MCMC, Draws, Method, MethodLike, as_method
from bayesnmf.model import Model, ModelLike, as_model
from bayesnmf.posterior.assembly import assemble
from bayesnmf.posterior.component_names import carried, named
from bayesnmf.posterior.components import rescale
from bayesnmf.posterior.endings import warn_of_ending
from bayesnmf.posterior.method_record import ARRAYS, OPTIONS, method_of, method_to_record
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.verdict import finished
from bayesnmf.progress import Progress, showing
from bayesnmf.workers import require_own_jax


def fit(
    V: MatrixLike | AnyMatrix,
    model: ModelLike,
    method: MethodLike = "mcmc",
    *,
    mask: ArrayLike | None = None,
    held_out: MatrixLike | None = None,
    rows: Sequence[Hashable] | None = None,
    columns: Sequence[Hashable] | None = None,
    layer: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Fit:
    """Fit a factorisation ``V ~ likelihood(WH)`` and return its posterior.

    Parameters
    ----------
    V : array, DataFrame, DataArray, Polars or PyArrow table, SciPy sparse or AnnData
        Data of shape (n_rows, n_columns); rows are samples, columns are features. NaN means missing.
        Names label every result. The first column of a Polars or PyArrow table holds row names if it
        holds text. An AnnData gives its X, or a layer, also if it is backed by a file.
        Float32 data are fitted in single precision, all other in double. Sparse data stay sparse under MAP and MCMC of an :class:`bayesnmf.NMF` with the
        Poisson likelihood (with one exposure, or one a row or a column), or with the Gaussian one
        where no cell is missing; elsewhere they are expanded while they fit
        :data:`bayesnmf.data.matrix.DENSE_BUDGET`.
    model : NMF, Program or callable
        A :class:`bayesnmf.NMF`, a zoo model from :func:`bayesnmf.load_model`, or a NumPyro
        program with sites W, H and V.
    method : {"mcmc", "svi", "map"} or record, default "mcmc"
        A :class:`bayesnmf.MCMC`, :class:`bayesnmf.SVI` or :class:`bayesnmf.MAP` for options.
    mask : array of bool of shape (n_rows, n_columns), optional
        True where a cell is observed; cells where it is False are left out, whatever they hold.
        A labelled table is matched by its names with those of V.
    held_out : sparse or dense array of bool of shape (n_rows, n_columns), optional
        True where a cell is left out: the complement of a mask, which may be sparse. Names are
        matched, as those of a mask.
    rows, columns : sequence of str or other labels, optional
        Names of the rows and columns of an array or a sparse matrix, which has none.
    layer : str, optional
        The layer of an AnnData to fit, such as raw counts. None: its X.
    seed : int, default 0
        Same data, model, method and seed give the same result, bit for bit.
    progress : bool, default True
        Whether to show a bar, which says which stage the fit is in.

    Returns
    -------
    Fit
        Labelled draws with aligned components.

    Raises
    ------
    ValueError, TypeError
        When data, model or method do not fit together; the message names the cell or the argument.
    MemoryError
        When sparse data would be expanded beyond their budget, or the draws asked for would not fit
        into the memory that is free; the message says what to ask for instead.

    Warns
    -----
    ConvergenceWarning
        When the fit has not converged, or was interrupted; the text is the fit's message.
    UserWarning
        When the rank exceeds the smaller side of V; when components are empty at the end, unless the
        priors are meant to empty them (ARD); when sparse data of more than 256 MiB are expanded.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> result = bn.fit(V, bn.NMF(2), "map", progress=False)
    >>> result.W.shape, result.H.shape, result.converged
    ((8, 2), (2, 6), True)
    """
    result = fit_silently(
        V,
        model,
        method,
        mask=mask,
        held_out=held_out,
        rows=rows,
        columns=columns,
        layer=layer,
        seed=seed,
        progress=progress,
    )
    warn_of_ending(result)
    return result


def fit_silently(
    V: MatrixLike | AnyMatrix,
    model: ModelLike,
    method: MethodLike,
    *,
    mask: ArrayLike | None = None,
    held_out: MatrixLike | None = None,
    rows: Sequence[Hashable] | None = None,
    columns: Sequence[Hashable] | None = None,
    layer: str | None = None,
    seed: int = 0,
    progress: bool | Progress = False,
) -> Fit:
    """Fit as :func:`fit` does, for callers that say themselves what has not converged."""
    require_own_jax()
    method, model = as_method(method), as_model(model)
    matrix = matrix_for(
        V, model, method, mask=mask, held_out=held_out, rows=rows, columns=columns, layer=layer
    )
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed must be an integer, not {seed!r}")
    with showing(progress) as shown:
        # Precision follows the data; nothing outside this block sees the setting.
        with jax.enable_x64(matrix.dtype == np.float64):
            names = model.component_names  # lost when labelled tables become arrays
            model.check(matrix, draws=method.needs_density)
            _warn_of_excess(model, matrix)
            model = model.resolve(matrix)
            begin = perf_counter()
            draws = method.run(model, matrix, jax.random.key(seed), shown)
            shown.stage("diagnostics", 1)
            options, arrays = method_to_record(method)
            attrs = {
                "bayesnmf_version": version("bayesnmf"),
                "method": method.name,
                OPTIONS: json.dumps(options),
                "seed": int(seed),
                "seconds": perf_counter() - begin,
            }
            tree = assemble(draws, model, matrix, attrs, names=names)
        if arrays:
            tree[ARRAYS] = xr.DataTree(xr.Dataset(arrays))
        return finished(tree, model, draws.state)


def _warn_of_excess(model: Model, matrix: AnyMatrix) -> None:
    """Warn of more components than the smaller side of V."""
    limit = min(matrix.shape)
    free = 0 if model.nmf is None else model.nmf.n_components - model.nmf.n_known
    if model.nmf is not None and free and model.nmf.n_components > limit:
        warnings.warn(
            f"{model.nmf.n_components} components for a matrix of shape {matrix.shape}: above "
            f"{limit} the data cannot tell all of them apart",
            stacklevel=4,
        )


def resume(fit: Fit, num_samples: int = 1000, *, progress: bool = True) -> Fit:
    """Draw more: continue the chains of a fit from where they stopped.

    Parameters
    ----------
    fit : Fit
        Made by MCMC of a :class:`bayesnmf.NMF`; it may have been saved and loaded. It stays as it is.
    num_samples : int, default 1000
        Further draws of each chain.
    progress : bool, default True
        Whether to show a progress bar.

    Returns
    -------
    Fit
        All draws, those of `fit` first; bit for bit those of one run of that length.

    Raises
    ------
    ValueError
        When the fit has no state to continue from: only MCMC of an NMF by its own sampler keeps
        one, and of chains in several modes only the whole fit.

    Warns
    -----
    ConvergenceWarning
        When the chains have still not converged.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 1, "poisson", seed=1)
    >>> method = bn.MCMC(num_warmup=100, num_samples=250, num_chains=2)
    >>> fit = bn.fit(V, bn.NMF(1), method, progress=False)
    >>> bn.resume(fit, 50, progress=False).tree["posterior"].sizes["draw"]
    300
    """
    require_own_jax()
    method = method_of(fit)
    state = fit.sampler_state
    if state is None or fit.model is None or not isinstance(method, MCMC):
        raise ValueError(
            "this fit cannot be resumed: only MCMC of a bayesnmf.NMF by the structured sampler keeps "
            "its state, and of chains in several modes only the whole fit. Fit again with more draws"
        )
    begin = perf_counter()
    with showing(progress) as shown:
        with jax.enable_x64(fit.matrix.dtype == np.float64):
            more = method.resume(fit.model, fit.matrix, dict(state), num_samples, shown)
            shown.stage("diagnostics", 1)
            joined, scale = _joined(fit, more)
            kept = ("bayesnmf_version", "method", OPTIONS, "seed")
            attrs = {name: fit.tree.attrs[name] for name in kept}
            attrs["seconds"] = float(fit.tree.attrs["seconds"]) + perf_counter() - begin
            tree = assemble(joined, fit.model, fit.matrix, attrs, scale)
        result = finished(_with_names_of(fit, tree), fit.model, more.state)
    warn_of_ending(result)
    return result


def _with_names_of(fit: Fit, tree: xr.DataTree) -> xr.DataTree:
    """Return a tree of more draws whose components have the names that they had."""
    before = fit.tree["posterior/H"]
    after = tree["posterior/H"].to_numpy()[:, : before.sizes["draw"]]
    return named(
        tree, carried(before.indexes["component"], before.to_numpy(), after, fit.n_identified)
    )


def _joined(fit: Fit, more: Draws) -> tuple[Draws, np.ndarray]:
    """Return earlier and later draws as one, scaled alike, and the scale."""
    posterior, stats = fit.tree["posterior"], fit.tree["sample_stats"]
    W, H, scale = rescale(more.sites["W"], more.sites["H"])
    sites = {
        name: np.concatenate([posterior[name].to_numpy(), value], axis=1)
        for name, value in {**more.sites, "W": W, "H": H}.items()
    }
    both = {
        name: np.concatenate([stats[name].to_numpy(), value], axis=1)
        for name, value in {**more.stats, "scale": scale}.items()
    }
    n_chains, n_draws = both["lp"].shape
    message = f"{n_chains} chain(s) of {n_draws} draws"
    if more.interrupted:
        message += ", interrupted"
    scale = both.pop("scale")
    joined = Draws(sites, both, None, message, state=more.state, interrupted=more.interrupted)
    return joined, scale


def matrix_for(
    V: MatrixLike | AnyMatrix,
    model: Model,
    method: Method,
    *,
    mask: ArrayLike | None = None,
    held_out: MatrixLike | None = None,
    rows: Sequence[Hashable] | None = None,
    columns: Sequence[Hashable] | None = None,
    layer: str | None = None,
) -> AnyMatrix:
    """Validate and wrap data, sparse where the model and the method can leave them so.

    Parameters
    ----------
    V, mask, held_out, rows, columns, layer :
        As for :func:`fit`; a Matrix passes through, and a SparseMatrix that may stay sparse.
    model : NMF or Program
    method : MAP, SVI or MCMC

    Returns
    -------
    Matrix or SparseMatrix
    """
    return matrix_of(
        V,
        lambda masked: method.keeps_sparse(model, masked),
        mask,
        held_out,
        rows=rows,
        columns=columns,
        layer=layer,
    )
