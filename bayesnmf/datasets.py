"""Data to try things on: real counts that ship with the package, and simulated matrices."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from bayesnmf.data import Matrix
from bayesnmf.likelihoods import Likelihood, as_likelihood

#: The smallest positive number and the largest below 1: the edges of open supports.
TINY, BELOW_ONE = np.finfo(float).tiny, 1.0 - np.finfo(float).epsneg


def breast21() -> pd.DataFrame:
    """Return the somatic mutation counts of 21 breast-cancer genomes.

    A cell counts the single-base substitutions of one channel that whole-genome sequencing
    found in one tumour. A channel is the substitution, written from the pyrimidine of the base
    pair, with the bases before and after it: ``A[C>T]G`` is C to T between A and G, and six
    substitutions in sixteen contexts make 96 channels.

    Returns
    -------
    DataFrame of int of shape (21, 96)
        Rows are tumours and columns are channels, labelled, in the order of publication.

    Notes
    -----
    The numbers of mutations differ nearly fifty-fold between tumours, and PD4120a alone holds
    38 % of them all.

    The table is the one distributed with SigProfilerAssignment 1.1.5 under the BSD 2-Clause
    licence, copyright 2022 Raviteja Vangara (Alexandrov Lab); the licence stands in the file
    NOTICE.

    References
    ----------
    Nik-Zainal, S. et al. (2012). Mutational processes molding the genomes of 21 breast
    cancers. Cell 149, 979-993. doi:10.1016/j.cell.2012.04.024

    Examples
    --------
    >>> V = breast21()
    >>> V.shape, int(V.to_numpy().sum())
    ((21, 96), 183916)
    >>> V.loc["PD3851a", "A[C>A]A"].item()
    31
    """
    source = resources.files("bayesnmf") / "data_files" / "breast21.csv"
    with source.open(encoding="utf-8") as file:
        published = pd.read_csv(file, index_col=0)
    return published.T.rename_axis(index="tumour", columns="channel")


def make_nmf(
    n_rows: int,
    n_columns: int,
    n_components: int,
    likelihood: str | Likelihood = "poisson",
    seed: int = 0,
    *,
    mean: float | None = None,
    shape_W: float = 1.0,
    shape_H: float = 1.0,
    missing: float = 0.0,
    **parameters: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate a matrix from a non-negative factorisation.

    ``W_ik ~ Gamma(shape_W, rate_W)``, ``H_kj ~ Gamma(shape_H, rate_H)`` and
    ``V_ij ~ likelihood((WH)_ij)``. The two rates give every entry of W and H the same mean, and
    WH the mean that `mean` asks for.

    Parameters
    ----------
    n_rows, n_columns, n_components : int
        Sizes, each at least 1.
    likelihood : str or Likelihood, default "poisson"
        A name, or an instance from :mod:`bayesnmf.likelihoods`.
    seed : int, default 0
        Seed of the NumPy generator; the same seed gives the same matrices bit for bit.
    mean : float, optional
        Expected cell of V at the expected WH, in the units of V: for the beta likelihood a
        proportion, which its link turns into the mean of WH. None: 0.3 for beta, and 10
        otherwise.
    shape_W, shape_H : float, default 1.0
        Shapes of the gamma distributions; smaller ones make sparser factors.
    missing : float, default 0.0
        Share of the cells that are set to NaN, chosen at random among those that leave every row
        and column an observed cell.
    **parameters
        Fields of the likelihood: ``exposure`` (Poisson, negative binomial and gamma, default 1),
        ``concentration`` (negative binomial, default 5), ``sigma`` (Gaussian, default a tenth of
        `mean`), ``shape`` (gamma, default 10), ``precision`` (beta, default 50) and ``link``. They
        replace those of an instance.

    Returns
    -------
    V : ndarray of float64 of shape (n_rows, n_columns)
        The data, NaN where missing.
    W : ndarray of float64 of shape (n_rows, n_components)
        The row factor.
    H : ndarray of float64 of shape (n_components, n_columns)
        The column factor.

    Raises
    ------
    ValueError
        For a size below 1, a number outside its range, a parameter that the likelihood does not
        have, or more missing cells than the rows and columns can spare.

    Notes
    -----
    Positive data that would underflow to 0, and proportions that would round to 0 or 1, become
    the nearest number strictly inside the support.

    Examples
    --------
    >>> V, W, H = make_nmf(4, 3, 2, "beta", seed=1, precision=20.0, missing=0.25)
    >>> V.shape, W.shape, H.shape, int(np.isnan(V).sum())
    ((4, 3), (4, 2), (2, 3), 3)
    """
    sizes = {"n_rows": n_rows, "n_columns": n_columns, "n_components": n_components}
    for name, size in sizes.items():
        _require_size(name, size)
    likelihood = _with_parameters(as_likelihood(likelihood), parameters)
    mean = likelihood.typical_level if mean is None else mean
    _require_between("mean", mean, 0, likelihood.highest_level)
    _require_between("shape_W", shape_W, 0, math.inf)
    _require_between("shape_H", shape_H, 0, math.inf)
    typical = Matrix.of(np.full((n_rows, n_columns), float(mean)))
    likelihood = likelihood.resolve(typical)

    rng = np.random.default_rng(seed)
    entry = math.sqrt(likelihood.typical_mean(typical) / n_components)
    W = np.maximum(rng.gamma(shape_W, entry / shape_W, (n_rows, n_components)), TINY)
    H = np.maximum(rng.gamma(shape_H, entry / shape_H, (n_components, n_columns)), TINY)
    V = likelihood.simulate(rng, np.maximum(W @ H, TINY), float(mean)).astype(float)
    V[_missing_cells(rng, V.shape, missing)] = np.nan
    return V, W, H


def _with_parameters(likelihood: Likelihood, parameters: dict[str, Any]) -> Likelihood:
    """Return `likelihood` with the fields in `parameters`, which it checks itself."""
    valid = likelihood.parameters + likelihood.options
    unknown = [name for name in parameters if name not in valid]
    if unknown:
        raise ValueError(
            f"the {likelihood.name} likelihood has no parameter {unknown[0]!r}; it has "
            f"{', '.join(valid)}"
        )
    return replace(likelihood, **parameters)


def _missing_cells(
    rng: np.random.Generator, shape: tuple[int, ...], missing: float
) -> tuple[np.ndarray, ...]:
    """Return the indices of the missing cells."""
    n_rows, n_columns = shape
    longest, size = max(shape), n_rows * n_columns
    if missing == 0:
        return np.array([], dtype=int), np.array([], dtype=int)
    _require_between("missing", missing, 0, 1)
    count = round(missing * size)
    if count > size - longest:
        raise ValueError(
            f"missing={missing:g} would leave a row or a column of the {n_rows} x {n_columns} "
            f"matrix without an observed cell; at most {(size - longest) / size:.3g} can be missing"
        )
    # One wrapped diagonal of the shuffled matrix meets every row and every column: it stays.
    steps = np.arange(longest)
    rows, columns = rng.permutation(n_rows), rng.permutation(n_columns)
    spare = np.ones(shape, dtype=bool)
    spare[rows[steps % n_rows], columns[steps % n_columns]] = False
    chosen = rng.choice(np.flatnonzero(spare), size=count, replace=False)
    return np.unravel_index(chosen, shape)


def _require_size(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a whole number, at least 1, not {value!r}")


def _require_between(name: str, value: Any, low: float, high: float) -> None:
    number = isinstance(value, (int, float, np.integer, np.floating))
    if not number or not low < value < high:
        what = "a positive number" if high == math.inf else f"between {low:g} and {high:g}"
        raise ValueError(f"{name} must be {what}, not {value!r}")
