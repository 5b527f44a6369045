"""The model: a likelihood and two priors, written as a NumPyro program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.infer import init_to_feasible

from bayesnmf.data import Matrix
from bayesnmf.likelihoods import Likelihood, as_likelihood
from bayesnmf.likelihoods._base import Array, off_zero
from bayesnmf.priors import (
    ARD,
    Gamma,
    Prior,
    as_prior,
    require_one_rate,
    resolve_rates,
    with_rate,
)
from bayesnmf.pytree import pytree, record
from bayesnmf.sparse import AnyMatrix, SparseMatrix


@pytree(static=("n_components",))
@dataclass(frozen=True, init=False)
class NMF:
    """Bayesian non-negative matrix factorisation: a likelihood times priors on W and H.

    ``V_ij ~ likelihood((WH)_ij)`` with ``W_ik ~ prior_W`` and ``H_kj ~ prior_H``. The instance
    is a NumPyro program: it can be called under any handler, and given to ``NUTS``, ``SVI`` or
    ``Predictive``.

    Parameters
    ----------
    n_components : int
        Number of components, the rank of WH.
    likelihood : str or Likelihood, default "poisson"
        "poisson", "negative_binomial", "gaussian", "gamma", "beta", or an instance from
        :mod:`bayesnmf.likelihoods`.
    prior_W, prior_H : str or Prior, default "gamma"
        "gamma", "exponential", "ard" (excess components empty out), "flat" (MAP only), or an
        instance from :mod:`bayesnmf.priors`. Where a prior has a hyper-prior, each component's rate
        is a further unknown: site "rate_W" or "rate_H", or "rate" where ARD on both factors ties them.

    Raises
    ------
    ValueError
        For fewer than one component, a name that is not known, or ARD that says different things
        of the two factors.

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

    def __init__(
        self,
        n_components: int,
        likelihood: str | Likelihood = "poisson",
        prior_W: str | Prior = "gamma",
        prior_H: str | Prior = "gamma",
    ) -> None:
        if isinstance(n_components, bool) or not isinstance(n_components, (int, np.integer)):
            raise TypeError(f"n_components must be an integer, not {n_components!r}")
        if n_components < 1:
            raise ValueError(f"n_components must be at least 1, not {n_components}")
        set_field = object.__setattr__  # how a frozen dataclass sets its own fields
        set_field(self, "n_components", int(n_components))
        set_field(self, "likelihood", as_likelihood(likelihood))
        set_field(self, "prior_W", as_prior(prior_W, "prior_W"))
        set_field(self, "prior_H", as_prior(prior_H, "prior_H"))
        require_one_rate(self.prior_W, self.prior_H)

    @property
    def hyper_priors(self) -> dict[str, Gamma]:
        """Prior of each component's rate, by the name of its site; empty where rates are numbers."""
        W, H = self.prior_W.hyper, self.prior_H.hyper
        if isinstance(self.prior_W, ARD) and isinstance(self.prior_H, ARD):
            return {"rate": W}  # type: ignore[dict-item]
        found = {"rate_W": W, "rate_H": H}
        return {name: hyper for name, hyper in found.items() if hyper is not None}

    def with_rates(self, rates: Mapping[str, Array]) -> NMF:
        """Return this model given the rates: their sites' values become plain gamma priors.

        Parameters
        ----------
        rates : mapping of str to array of shape (component,)
            A value of each site of :attr:`hyper_priors`; further names are ignored.
        """
        names = self.hyper_priors
        priors = {"prior_W": self.prior_W, "prior_H": self.prior_H}
        for argument, own in (("prior_W", "rate_W"), ("prior_H", "rate_H")):
            name = "rate" if "rate" in names else own
            if name in names:
                priors[argument] = with_rate(priors[argument], rates[name])
        return record(
            NMF, n_components=self.n_components, likelihood=self.likelihood, **priors
        ) if names else self  # fmt: skip

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
        likelihood = self.likelihood.resolve(matrix)
        mean = likelihood.typical_mean(matrix)
        # All-zero data suggest no scale; one count in the whole matrix is the least they allow.
        mean = mean if mean > 0 else 1.0 / matrix.n_observed
        prior_W, prior_H = resolve_rates(self.prior_W, self.prior_H, mean, self.n_components)
        return replace(self, likelihood=likelihood, prior_W=prior_W, prior_H=prior_H)

    def matched(self, matrix: AnyMatrix) -> NMF:
        """Return this model with labelled tables as plain arrays in the order of the data.

        Unlike :meth:`resolve` it leaves open what depends on the values of the data.
        """
        likelihood = self.likelihood.matched(matrix)
        return self if likelihood is self.likelihood else replace(self, likelihood=likelihood)

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
        for name, prior in (("prior_W", self.prior_W), ("prior_H", self.prior_H)):
            if draws and not prior.proper:
                raise ValueError(
                    f"{name} is flat, which is no distribution: use method='map', or a gamma or "
                    "exponential prior"
                )

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
        components = numpyro.plate("component", self.n_components, dim=-1)
        with components:
            rates = {
                name: numpyro.sample(name, hyper.distribution())
                for name, hyper in self.hyper_priors.items()
            }
        given = self.with_rates(rates)
        with rows, components:
            W = numpyro.sample("W", _law(given.prior_W, (n_rows, self.n_components), axis=1))
        # A plate keeps one dimension throughout, so a row of H is one event of its component.
        with components:
            law = _law(given.prior_H, (self.n_components, n_columns), axis=0)
            law = law if law.batch_shape else law.expand([n_columns])
            H = numpyro.sample("H", law.to_event(1))
        parameters = dict(self.likelihood.known)
        for name, prior in self.likelihood.priors.items():
            parameters[name] = numpyro.sample(name, prior)
        cells = self.likelihood.distribution(product(W, H), **parameters)
        observed, values = observations(V, self.likelihood.placeholder)
        with rows, columns, handlers.mask(mask=observed):
            V = numpyro.sample("V", cells, obs=values)
        return {"W": W, "H": H, "V": V}


def _law(prior: Prior, shape: tuple[int, int], axis: int) -> dist.Distribution:
    """Return the distribution of an entry, or of all where each component has its own rate."""
    if np.ndim(prior.rate) == 0:  # type: ignore[arg-type]
        return prior.distribution()
    rate = jnp.expand_dims(jnp.asarray(prior.rate), 1 - axis)
    return dist.Gamma(prior.shape, jnp.broadcast_to(rate, shape))


@dataclass(frozen=True)
class Program:
    """A NumPyro program with sites W, H and V that is not an :class:`NMF`.

    Parameters
    ----------
    function : callable
        Called as ``function(V, shape=None, **options)``; see :mod:`bayesnmf.zoo` for the
        contract.
    options : dict
        Keyword arguments of the function, such as ``n_components``.
    reference : str
        Name or path from which :func:`bayesnmf.load_model` loads it again; empty for a
        function defined in the session.

    Examples
    --------
    >>> def model(V=None, shape=None, n_components=2): ...
    >>> Program(model, {"n_components": 3})
    Program(model, options={'n_components': 3})
    """

    function: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""

    def __call__(self, V: Array | None = None, *, shape: tuple[int, int] | None = None) -> Any:
        """Run the program, conditioned on `V` where it is given."""
        return self.function(V, shape=shape, **self.options)

    def __repr__(self) -> str:
        return f"Program({self.name}, options={dict(self.options)})"

    @property
    def name(self) -> str:
        """Name of the zoo file, or of the function."""
        return Path(self.reference).stem or self.function.__name__

    def matched(self, matrix: AnyMatrix) -> Program:
        """Return this program: the package knows no tables of it."""
        return self

    def resolve(self, V: Any) -> Program:
        """Return this program: it has no data-scaled defaults."""
        return self

    def check(self, matrix: AnyMatrix, *, draws: bool) -> None:
        """Raise when the program lacks a site, gives one a wrong shape, or rules out a cell."""
        assert isinstance(matrix, Matrix)  # no method keeps the data of a program sparse
        name = self.name
        trace = self._trace(matrix)
        for site in ("W", "H", "V"):
            if site not in trace:
                raise ValueError(f"the program {name} has no site {site!r}")
        rank = jnp.shape(trace["W"]["value"])[-1:]
        expected = {
            "W": (matrix.n_rows, *rank), "H": (*rank, matrix.n_columns), "V": matrix.shape,
        }  # fmt: skip
        for site, wanted in expected.items():
            got = jnp.shape(trace[site]["value"])
            if got != wanted:
                raise ValueError(f"site {site!r} of {name} has shape {got}, not {wanted}")
        if not trace["V"]["is_observed"]:
            raise ValueError(f"site 'V' of {name} is not conditioned on the data; pass it as obs=")
        support = trace["V"]["fn"].support
        matrix.refuse(
            lambda v: ~np.asarray(support(v)),
            f"lies outside the support of the program {name}",
            "Check that cell, or choose another model",
        )

    def _trace(self, matrix: Matrix) -> dict[str, Any]:
        """Run the program on data at an arbitrary feasible point, which needs no sampling."""
        feasible = handlers.substitute(handlers.seed(self, 0), substitute_fn=init_to_feasible)
        return handlers.trace(feasible).get_trace(jnp.asarray(matrix.values))


type Model = NMF | Program


def as_model(model: Any) -> Model:
    """Return `model` if it is one, or wrap a plain function as a :class:`Program`."""
    if isinstance(model, (NMF, Program)):
        return model
    if callable(model):
        return Program(model)
    raise TypeError(
        f"model must be a bayesnmf.NMF, a loaded zoo model or a NumPyro program, not "
        f"{type(model).__name__}"
    )


def product(W: Array, H: Array) -> Array:
    """Return WH, lifted off zero by a hair so that logarithms and ratios stay finite."""
    return off_zero(W @ H)


def observations(V: Array | None, placeholder: float) -> tuple[Array, Array | None]:
    """Split data with NaN into a mask and values that a density can be evaluated at."""
    if V is None:
        return True, None
    V = jnp.asarray(V)
    if not jnp.issubdtype(V.dtype, jnp.floating):
        V = V.astype(float)
    observed = ~jnp.isnan(V)
    return observed, jnp.where(observed, V, jnp.asarray(placeholder, V.dtype))
