"""scikit-learn's words for a factorisation, and what they are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bayesnmf.likelihoods import Gaussian, Likelihood
from bayesnmf.likelihoods.losses import LOSSES
from bayesnmf.methods import MAP
from bayesnmf.priors import Exponential, Flat, Prior

#: The losses that scikit-learn also takes by number, the beta of the beta divergence.
NUMBERS = {2: "frobenius", 1: "kullback-leibler", 0: "itakura-saito"}


#: The solver here that is nearest to scikit-learn's.
SOLVERS = {"mu": "mu", "cd": "newton"}


#: The start here that is nearest to scikit-learn's. Its default is nndsvda alone; random starts beside
#: it cost little, and the best optimum is kept.
STARTS: dict[str | None, Any] = {
    None: ["nndsvd", "random"],
    "random": "random",
    "nndsvd": "nndsvd",
    "nndsvda": "nndsvd",
}


@dataclass(frozen=True)
class Penalties:
    """scikit-learn's penalties: ``alpha l1_ratio`` times the sum of a factor, times the other side of V."""

    alpha_W: float
    alpha_H: float | str
    l1_ratio: float

    def priors(self, n_samples: int, n_features: int) -> tuple[Prior, Prior]:
        """Return the priors of W and H whose MAP estimate has these penalties.

        Raises
        ------
        ValueError
            For an l2 part, which no prior of this package has; for a penalty on one factor alone.
        """
        alpha_H = self.alpha_W if self.alpha_H == "same" else float(self.alpha_H)
        if bool(self.alpha_W) != bool(alpha_H):
            raise ValueError(
                f"alpha_W={self.alpha_W:g} with alpha_H={alpha_H:g} has no optimum: the penalised factor shrinks and "
                "the other grows without end. Use alpha_H='same', or positive numbers for both"
            )
        if (self.alpha_W or alpha_H) and self.l1_ratio != 1:
            raise ValueError(
                f"l1_ratio={self.l1_ratio} asks for an l2 penalty, which is the prior exp(-a x**2): no prior of "
                "this package. Use l1_ratio=1, whose penalty is the exponential prior, or a gamma prior"
            )
        rates = self.alpha_W * n_features, alpha_H * n_samples
        W, H = (Exponential(rate=rate) if rate else Flat() for rate in rates)
        return W, H


def likelihood_of(beta_loss: Any) -> str | Likelihood:
    """Return the likelihood whose negative log density is a loss.

    Examples
    --------
    >>> likelihood_of("kullback-leibler")
    'poisson'
    """
    loss = NUMBERS.get(beta_loss, beta_loss)
    if loss not in LOSSES:
        raise ValueError(
            f"unknown beta_loss {beta_loss!r}; valid: frobenius (2), kullback-leibler (1), itakura-saito (0)"
        )
    name = LOSSES[loss]
    # Half the squared error is the negative log density of noise of standard deviation 1.
    return Gaussian(sigma=1.0) if name == "gaussian" else name


def map_of(solver: str, init: Any, max_iter: int, tol: float, *, has_vectors: bool) -> MAP:
    """Return a MAP estimate with scikit-learn's options.

    Parameters
    ----------
    solver, init, max_iter, tol :
        As for :class:`bayesnmf.BayesianNMF`.
    has_vectors : bool
        Whether the data have more singular vectors than there are components, which nndsvd needs.

    Raises
    ------
    ValueError
        For an option that is unknown, or that has no counterpart.
    """
    if init not in STARTS:
        raise ValueError(
            f"unknown init {init!r}; valid: {', '.join(str(x) for x in STARTS)}. For factors of your own "
            "use method=bayesnmf.MAP(init=(W, H))"
        )
    chosen: Any = SOLVERS.get(solver, solver)
    start: Any = STARTS[init] if init is not None or has_vectors else "random"
    return MAP(solver=chosen, init=start, max_iter=max_iter, tol=tol)
