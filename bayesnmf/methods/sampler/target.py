"""The posterior in the coordinates that the moves use: logarithms, component first.

Every move leaves the density of ``(log W, log H, parameters)`` given V invariant. With a gamma
prior of shape a and rate b on w, ``log w`` has the log density ``a log w - b w`` up to a constant:
the Jacobian has raised ``a - 1`` to a, and there is no boundary left.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bayesnmf.arrays import Array
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled
from bayesnmf.priors import Prior


class Position(NamedTuple):
    """A point of the posterior.

    Attributes
    ----------
    W : array of shape (component, row)
        Logarithms of W. With a shape of 0.1 entries of 1e-40 are ordinary, so the logarithm is the state.
    H : array of shape (component, column)
        Logarithms of H.
    parameters : dict of arrays
        The likelihood's inferred parameters, scalars, and under hyper-priors the components' rates.
    """

    W: Array
    H: Array
    parameters: dict[str, Array]


class Conditional(NamedTuple):
    """The density of the logarithms of one factor, given all else.

    Attributes
    ----------
    model : NMF
        Without hyper-priors, such as :func:`conditioned` gives it.
    data : Sampled
        What it is conditioned on.
    prior : Prior
        Of the factor.
    other : array of shape (component, column)
        The other factor, not its logarithms.
    parameters : dict of arrays
        The likelihood's inferred parameters.
    axis : int
        Axis of V that the other factor runs along: 1 when the factor is W, 0 when it is H.
    known : array of shape (known component, row)
        Logarithms of the components of the factor that are given. What moves are the others.
    """

    model: NMF
    data: Sampled
    prior: Prior
    other: Array
    parameters: dict[str, Array]
    axis: int
    known: Array

    def log_slope(self, x: Array) -> Array:
        """Return the gradient of the log density at the logarithms `x`."""
        return self.log_slope_at(jnp.exp(x))

    def log_slope_at(self, w: Array) -> Array:
        """Return the same, in the logarithms, at the entries `w` themselves."""
        return self.prior.log_slope(w, self._gradient(w))

    def likelihood_slope_at(self, w: Array) -> Array:
        """Return the gradient of the log likelihood in the logarithms, at the entries `w`."""
        return w * self._gradient(w)

    def log_density_change(self, x: Array, new_x: Array) -> Array:
        """Return the change of the log density of every row when `x` goes to `new_x`."""
        change = self.likelihood_change(x, new_x)
        return change + jnp.sum(self.prior.log_density_change(x, new_x), axis=0)

    def likelihood_change(self, x: Array, new_x: Array) -> Array:
        """Return the change of the log likelihood of every row."""
        old, new = self._whole(jnp.exp(x)), self._whole(jnp.exp(new_x))
        return self.data.log_density_change(
            self.model, old, new, self.other, self.parameters, axis=self.axis
        )

    def information_diagonal(self, x: Array) -> Array:
        """Return the information of the data about every logarithm, at the logarithms `x`."""
        whole, first = self._whole(jnp.exp(x)), len(self.known)
        return self.data.information_diagonal(
            self.model, whole, self.other, self.parameters, axis=self.axis
        )[first:]

    def information_among(self, x: Array, chosen: Array) -> Array:
        """Return the information of every row about some logarithms, (chosen, chosen, row)."""
        whole, first = self._whole(jnp.exp(x)), len(self.known)
        return self.data.information_among(
            self.model, whole, self.other, self.parameters, chosen + first, axis=self.axis
        )

    def cast(self, dtype: jnp.dtype) -> Conditional:
        """Return the same density in another precision."""
        if self.other.dtype == dtype:
            return self
        parts = {name: x for name, x in self._asdict().items() if name != "axis"}
        return self._replace(**in_precision(parts, dtype))

    def _gradient(self, w: Array) -> Array:
        whole = self._whole(w)
        gradient = self.data.gradient(
            self.model, whole, self.other, self.parameters, axis=self.axis
        )
        return gradient[len(self.known) :]

    def _whole(self, w: Array) -> Array:
        """Return the factor with its known components."""
        return jnp.concatenate([jnp.exp(self.known), w]) if len(self.known) else w


def in_precision(tree: Any, dtype: jnp.dtype) -> Any:
    """Return the same structure with its floating-point numbers in another precision."""

    def cast(leaf: Any) -> Any:
        leaf = jnp.asarray(leaf)
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


def independent_factor(model: NMF) -> str | None:
    """Return the factor whose rows are independent, "W" or "H", since the other is known; else None."""
    if model.n_known_H == model.n_components:
        return "W"
    return "H" if model.n_known_W == model.n_components else None


def of_W(model: NMF, data: Sampled, position: Position) -> Conditional:
    """Return the density of log W given H and the parameters."""
    first = model.n_known_W
    prior, other = model.prior_W.of_components(first), jnp.exp(position.H)
    known = position.W[:first]
    return Conditional(model, data, prior, other, position.parameters, axis=1, known=known)


def of_H(model: NMF, data: Sampled, position: Position) -> Conditional:
    """Return the density of log H given W and the parameters."""
    first = model.n_known_H
    prior, other = model.prior_H.of_components(first), jnp.exp(position.W)
    known = position.H[:first]
    return Conditional(model, data, prior, other, position.parameters, axis=0, known=known)


def independent_rows(model: NMF, data: Sampled, position: Position) -> tuple[Conditional, Array]:
    """Return the density of what is inferred of the factor whose rows are independent, and its logarithms."""
    if independent_factor(model) == "W":
        return of_W(model, data, position), position.W[model.n_known_W :]
    return of_H(model, data, position), position.H[model.n_known_H :]


def free_parts(model: NMF, position: Position) -> tuple[tuple[Prior, Array], tuple[Prior, Array]]:
    """Return what is inferred of log W and of log H, each with its prior."""
    a, b = model.n_known_W, model.n_known_H
    return (
        (model.prior_W.of_components(a), position.W[a:]),
        (model.prior_H.of_components(b), position.H[b:]),
    )


def with_free(model: NMF, position: Position, W: Array, H: Array) -> Position:
    """Return the position with other values of what is inferred of log W and of log H."""
    a, b = model.n_known_W, model.n_known_H
    return position._replace(
        W=jnp.concatenate([position.W[:a], W]) if a else W,
        H=jnp.concatenate([position.H[:b], H]) if b else H,
    )


def position_of(W: Any, H: Any, parameters: dict[str, Any]) -> Position:
    """Return the position of factors W of shape (row, component) and H of (component, column).

    Zeros are lifted to the smallest positive number.

    Examples
    --------
    >>> position_of(jnp.ones((3, 2)), jnp.ones((2, 4)), {}).W.shape
    (2, 3)
    """
    W, H = jnp.asarray(W), jnp.asarray(H)
    tiny = jnp.finfo(W.dtype).tiny
    values = {name: jnp.asarray(x, W.dtype) for name, x in parameters.items()}
    return Position(jnp.log(jnp.maximum(W.T, tiny)), jnp.log(jnp.maximum(H, tiny)), values)


def sites_of(position: Position) -> dict[str, Array]:
    """Return W of shape (row, component), H of (component, column) and the parameters, by name."""
    tiny = jnp.finfo(position.W.dtype).tiny
    # Below the smallest number the logarithm still tells entries apart; their values cannot.
    W, H = (jnp.maximum(jnp.exp(x), tiny) for x in position[:2])
    return {"W": W.T, "H": H, **position.parameters}


def conditioned(model: NMF, position: Position) -> tuple[NMF, Position]:
    """Return the model given the rates, and the position without them.

    What is left are plain gamma priors, a rate a component, and the likelihood's parameters.
    """
    names, parameters = model.hyper_priors, position.parameters
    if not names:
        return model, position
    others = {name: x for name, x in parameters.items() if name not in names}
    return model.with_rates(parameters), position._replace(parameters=others)


def log_joint_at(model: NMF, data: Sampled, position: Position, *, constants: bool = True) -> Array:
    """Return the log joint density of data, W, H, parameters and rates.

    Without `constants`, terms of the data alone may be left out. It refers to W and H themselves, not to their logarithms: the value that NumPyro's
    ``log_density`` gives at :func:`sites_of` this position.
    """
    hyper_priors, rates = model.hyper_priors, position.parameters
    model, position = conditioned(model, position)
    factors = jnp.exp(position.W), jnp.exp(position.H)
    total = data.density(model, *factors, constants=constants)(position.parameters)
    for prior, x in free_parts(model, position):
        total += jnp.sum(prior.log_density(x))
    for name, prior in model.likelihood.priors.items():
        total += prior.log_prob(position.parameters[name]).astype(total.dtype)
    for name, hyper in hyper_priors.items():
        total += jnp.sum(hyper.log_density(jnp.log(rates[name])[:, None]))
    return total
