"""NMF: a likelihood and two priors, written as a NumPyro program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import numpyro
from numpy.typing import ArrayLike
from numpyro import handlers

from bayesnmf.arrays import Array, pytree, record
from bayesnmf.data import AnyMatrix, Matrix, SparseMatrix
from bayesnmf.data.given import same_value
from bayesnmf.likelihoods import Likelihood, as_likelihood
from bayesnmf.model.cells import NMFCells
from bayesnmf.model.describe import described_nmf, html_of, recorded_nmf
from bayesnmf.model.entrywise import matched_prior
from bayesnmf.model.factors import draw_factors
from bayesnmf.model.interface import Description, Measure
from bayesnmf.model.known import (
    HasKnown,
    count_components,
    known_tables,
    matched_known,
    require_consistent,
    require_reached,
    resolved_priors,
)
from bayesnmf.model.mean import observations, product
from bayesnmf.priors import ARD, Gamma, Prior, as_prior
from bayesnmf.priors.rates import require_one_rate, with_rate


@pytree(static=("n_components",))
@dataclass(frozen=True, init=False, eq=False)
class NMF(HasKnown):
    """Bayesian non-negative matrix factorisation: a likelihood times priors on W and H.

    ``V_ij ~ likelihood((WH)_ij)`` with ``W_ik ~ prior_W`` and ``H_kj ~ prior_H``. The instance
    is a NumPyro program, for any handler, ``NUTS``, ``SVI`` and ``Predictive``.

    Parameters
    ----------
    n_components : int, optional
        Number of components, the rank of WH. None: that of the known components.
    likelihood : str or Likelihood, default "poisson"
        "poisson", "negative_binomial", "gaussian", "gamma", "beta", or an instance from
        :mod:`bayesnmf.likelihoods`.
    prior_W, prior_H : str or Prior, default "gamma"
        "gamma", "exponential", "ard" (excess components empty out), "flat" (MAP only), or an
        instance from :mod:`bayesnmf.priors`, whose tables are matched with V by name. Where a prior has a
        hyper-prior, each component's rate is a further unknown: site "rate_W" or "rate_H", or "rate" where
        ARD on both factors ties them.
    W, H : DataFrame, DataArray or array, optional
        Known components, of shape (row, known component) or (known component, column): they are
        given, and only their weights in the other factor are inferred. They come first; the other
        components are free. Labels are matched with those of V, and name the components; free
        components get the next numbers. Zeros stay zero. Of W and H one can be given.

    Raises
    ------
    ValueError
        For fewer than one component, a name that is not known, ARD that says different things
        of the two factors, and known components that are negative, not finite, or empty.

    Examples
    --------
    >>> model = NMF(2, likelihood="gaussian")
    >>> trace = handlers.trace(handlers.seed(model.resolve(np.eye(3)), 0)).get_trace(np.eye(3))
    >>> sorted(name for name, site in trace.items() if site["type"] == "sample")
    ['H', 'V', 'W', 'sigma']
    """

    n_components: int
    likelihood: Likelihood
    prior_W: Prior
    prior_H: Prior
    W: Any
    H: Any

    def __init__(
        self,
        n_components: int | None = None,
        likelihood: str | Likelihood = "poisson",
        prior_W: str | Prior = "gamma",
        prior_H: str | Prior = "gamma",
        *,
        W: ArrayLike | None = None,
        H: ArrayLike | None = None,
    ) -> None:
        known = known_tables(W, H)
        set_field = object.__setattr__  # how a frozen dataclass sets its own fields
        set_field(self, "n_components", count_components(n_components, known))
        set_field(self, "likelihood", as_likelihood(likelihood))
        set_field(self, "prior_W", as_prior(prior_W, "prior_W"))
        set_field(self, "prior_H", as_prior(prior_H, "prior_H"))
        require_one_rate(self.prior_W, self.prior_H)
        set_field(self, "W", known.W)
        set_field(self, "H", known.H)
        require_consistent(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NMF):
            return NotImplemented
        return all(same_value(x, vars(other)[name]) for name, x in vars(self).items())

    def __hash__(self) -> int:
        return hash((self.n_components, self.likelihood, self.prior_W, self.prior_H))

    @property
    def name(self) -> str:
        """Name of the likelihood."""
        return self.likelihood.name

    @property
    def title(self) -> str:
        """What the model is called in a sentence."""
        return f"the {self.likelihood.name.replace('_', ' ')} likelihood"

    @property
    def nmf(self) -> NMF:
        """The model itself, whose structure fast algorithms use."""
        return self

    @property
    def known(self) -> dict[str, Any]:
        """Parameters of the likelihood that are given, by name: numbers or per-cell arrays."""
        return self.likelihood.known

    @property
    def empties_components(self) -> bool:
        """Whether rates have priors, so that components can empty out."""
        return bool(self.hyper_priors)

    @property
    def gives_mass(self) -> bool:
        """Whether the likelihood gives counts a mass: the density of a discrete one is a mass."""
        return self.likelihood.gives_mass

    @property
    def overdispersed_alternative(self) -> str:
        """A likelihood with more noise, in words."""
        name = self.likelihood.overdispersed_alternative
        return f"the {name.replace('_', ' ')}" if name else "a likelihood with more noise"

    @property
    def hyper_priors(self) -> dict[str, Gamma]:
        """Prior of each component's rate, by the name of its site; empty where rates are numbers."""
        W, H = self.prior_W.hyper, self.prior_H.hyper
        if isinstance(self.prior_W, ARD) and isinstance(self.prior_H, ARD):
            return {"rate": W}  # type: ignore[dict-item]
        all_known = self.n_known_W == self.n_components, self.n_known_H == self.n_components
        found = {"rate_W": None if all_known[0] else W, "rate_H": None if all_known[1] else H}
        return {name: hyper for name, hyper in found.items() if hyper is not None}

    def with_rates(self, rates: Mapping[str, Array]) -> NMF:
        """Return this model given `rates`, of shape (component,), by the names of :attr:`hyper_priors`.

        Priors become plain gamma priors; further names are ignored.
        """
        names = self.hyper_priors
        priors = {"prior_W": self.prior_W, "prior_H": self.prior_H}
        for argument, own in (("prior_W", "rate_W"), ("prior_H", "rate_H")):
            name = "rate" if "rate" in names else own
            if name in names:
                priors[argument] = with_rate(priors[argument], rates[name])
        return record(NMF, **{**vars(self), **priors}) if names else self

    def resolve(self, V: Any) -> NMF:
        """Return this model with every data-scaled default replaced by its number.

        Parameters
        ----------
        V : array, Matrix or SparseMatrix of shape (n_rows, n_columns)
            NaN means missing.

        Returns
        -------
        NMF
            Its priors have rates, and its likelihood's known arrays have the shape of V, and the
            order of its names where they are labelled.

        Raises
        ------
        ValueError
            When a labelled table has other names than V.
        """
        matrix = V if isinstance(V, SparseMatrix) else Matrix.of(V)
        model = self.matched(matrix)
        likelihood = model.likelihood.resolve(matrix)
        mean = likelihood.typical_mean(matrix)
        # All-zero data suggest no scale; one count in the whole matrix is the least they allow.
        mean = mean if mean > 0 else 1.0 / matrix.n_observed
        prior_W, prior_H = resolved_priors(model, mean)
        return replace(model, likelihood=likelihood, prior_W=prior_W, prior_H=prior_H)

    def matched(self, matrix: AnyMatrix) -> NMF:
        """Return this model with labelled tables as plain arrays in the order of the data.

        Unlike :meth:`resolve` it leaves open what depends on the values of the data.
        """
        found = {
            "likelihood": self.likelihood.matched(matrix),
            "prior_W": matched_prior(self, "W", matrix),
            "prior_H": matched_prior(self, "H", matrix),
            "W": matched_known(self.W, "W", matrix),
            "H": matched_known(self.H, "H", matrix),
        }
        same = all(value is vars(self)[name] for name, value in found.items())
        return self if same else replace(self, **found)

    def check(self, matrix: AnyMatrix, *, draws: bool) -> None:
        """Raise when `matrix` or a prior does not suit this model.

        Parameters
        ----------
        matrix : Matrix or SparseMatrix
            The data.
        draws : bool
            Whether posterior draws are asked for, which need proper priors and a true density.
        """
        self.likelihood.check(matrix, quasi=not draws)
        require_reached(self, matrix)
        for name, prior in (("prior_W", self.prior_W), ("prior_H", self.prior_H)):
            if draws and not prior.proper:
                raise ValueError(
                    f"{name} is flat, which is no distribution: use method='map', or a gamma or "
                    "exponential prior"
                )

    def base_measure(self, matrix: AnyMatrix) -> Measure:
        """Return the likelihood's measure."""
        return self.likelihood.base_measure

    def site_dims(self, matrix: AnyMatrix) -> dict[str, list[str]]:
        """Return the dimensions of every site: W, H, the likelihood's parameters, the rates."""
        dims: dict[str, list[str]] = {"W": ["row", "component"], "H": ["component", "column"]}
        dims |= {name: [] for name in self.likelihood.priors}
        return dims | {name: ["component"] for name in self.hyper_priors}

    def draw_size(self, matrix: AnyMatrix) -> int:
        """Return the number of entries of W and H."""
        return self.n_components * (matrix.n_rows + matrix.n_columns)

    def to_record(self) -> dict[str, Any]:
        """Return the number of components, the likelihood and the priors as plain values."""
        return recorded_nmf(self)

    def has_joint_cells(self, matrix: AnyMatrix) -> bool:
        """Return False: cells are independent given WH."""
        return False

    def cells(self, V: np.ndarray | None) -> NMFCells:
        """Return the distribution of the cells of V, in double precision."""
        return NMFCells(jax.tree.map(lambda x: np.asarray(x, np.float64), self.likelihood))

    def describe(self) -> Description:
        """Return the likelihood, the priors and the known components in words."""
        return described_nmf(self)

    def _repr_html_(self) -> str:
        return html_of(self)

    def __call__(
        self, V: Array | None = None, *, shape: tuple[int, int] | None = None
    ) -> dict[str, Array]:
        """Run the generative program.

        Parameters
        ----------
        V : array of shape (n_rows, n_columns), optional
            Data to condition on; NaN means missing. None: V is drawn from the model.
        shape : tuple of int, optional
            Shape of V where it is not given.

        Returns
        -------
        dict
            The values of sites W, H and V.
        """
        if V is None and shape is None:
            raise ValueError("give the model either V or the shape of V")
        self.likelihood.require_plain()
        n_rows, n_columns = shape if V is None else V.shape  # type: ignore[misc]
        rows = numpyro.plate("row", n_rows, dim=-2)
        columns = numpyro.plate("column", n_columns, dim=-1)
        W, H = draw_factors(self, n_rows, n_columns)
        parameters = dict(self.likelihood.known)
        for name, prior in self.likelihood.priors.items():
            parameters[name] = numpyro.sample(name, prior)
        cells = self.likelihood.distribution(product(W, H), **parameters)
        observed, values = observations(V, self.likelihood.placeholder)
        with rows, columns, handlers.mask(mask=observed):
            V = numpyro.sample("V", cells, obs=values)
        return {"W": W, "H": H, "V": V}
