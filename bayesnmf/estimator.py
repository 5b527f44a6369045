"""BayesianNMF: a transformer for scikit-learn's pipelines and searches."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from bayesnmf.comparison.row_scores import score
from bayesnmf.data.storage import matrix_of
from bayesnmf.likelihoods import Likelihood, as_likelihood
from bayesnmf.methods import MAP, Method, as_method
from bayesnmf.model import NMF
from bayesnmf.model.known import takes_negative_values
from bayesnmf.posterior.divergence import divergence_of
from bayesnmf.posterior.fitting import fit
from bayesnmf.posterior.new_rows import transform
from bayesnmf.priors import Prior
from bayesnmf.sklearn_words import Penalties, likelihood_of, map_of


class BayesianNMF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Bayesian non-negative matrix factorisation as a scikit-learn transformer.

    ``X ~ likelihood(W H)``. :meth:`fit` learns H, :meth:`transform` gives the W of any rows, and
    :meth:`score` says how well unseen rows are predicted, so that a search can choose the number of
    components. It takes the words of :class:`sklearn.decomposition.NMF` too. The posterior itself is
    :attr:`fit_`.

    Parameters
    ----------
    n_components : int, default 2
        Number of components.
    likelihood : str, Likelihood or None, default None
        As for :class:`bayesnmf.NMF`. None: what `beta_loss` says, or "poisson".
    prior_W, prior_H : str, Prior or None, default None
        As for :class:`bayesnmf.NMF`. None: the penalties, where `beta_loss` or one of them is given, and
        "gamma" elsewhere; "flat" for values that are no counts under a likelihood of counts, such as
        shares or TF-IDF, whose scale says nothing of their noise.
    method : {"map", "svi", "mcmc"} or record, default "map"
        A :class:`bayesnmf.MAP`, :class:`bayesnmf.SVI` or :class:`bayesnmf.MCMC` for options.
    beta_loss : {"frobenius", "kullback-leibler", "itakura-saito"}, 2, 1, 0 or None, default None
        scikit-learn's word for the likelihood: Gaussian with sigma 1, Poisson, gamma.
    solver : {"auto", "newton", "accelerated", "mu", "cd"}, default "auto"
        As for :class:`bayesnmf.MAP`; "cd" is "newton" here.
    init : {None, "random", "nndsvd", "nndsvda"}, default None
        None: the best of "nndsvd" and random starts; "random" where there are as many components as
        rows or columns.
    alpha_W : float, default 0.0
    alpha_H : float or "same", default "same"
    l1_ratio : float, default 0.0
        scikit-learn's penalties. The l1 part is an exponential prior; an l2 part is refused.
    max_iter : int, default 10000
    tol : float, default 1e-4
        As for :class:`bayesnmf.MAP`.
    random_state : int, RandomState or None, default None
        None and a RandomState give other starts at every call of fit.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Posterior mean of H; each row sums to 1.
    components_interval_ : ndarray of shape (2, n_components, n_features)
        5 % and 95 % quantiles of H; NaN for a MAP estimate.
    n_components_ : int
    n_iter_ : int
        Steps of the search, or draws of each chain.
    reconstruction_err_ : float
        Root of twice the divergence of X from WH, as in scikit-learn.
    fit_ : Fit
        The posterior.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has names.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> X, _, _ = bn.datasets.make_nmf(30, 8, 2, "poisson", seed=1)
    >>> model = BayesianNMF(2, random_state=0).fit(X)
    >>> model.components_.shape, model.transform(X).shape
    ((2, 8), (30, 2))
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        likelihood: str | Likelihood | None = None,
        prior_W: str | Prior | None = None,
        prior_H: str | Prior | None = None,
        method: Method | Literal["map", "svi", "mcmc"] = "map",
        beta_loss: str | float | None = None,
        solver: str = "auto",
        init: str | None = None,
        alpha_W: float = 0.0,
        alpha_H: float | Literal["same"] = "same",
        l1_ratio: float = 0.0,
        max_iter: int = 10_000,
        tol: float = 1e-4,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.likelihood = likelihood
        self.prior_W = prior_W
        self.prior_H = prior_H
        self.method = method
        self.beta_loss = beta_loss
        self.solver = solver
        self.init = init
        self.alpha_W = alpha_W
        self.alpha_H = alpha_H
        self.l1_ratio = l1_ratio
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn the components of X, of shape (n_samples, n_features); NaN means missing."""
        X = self._validated(X, reset=True)
        likelihood, method = self._likelihood(), self._method(X)
        model = NMF(self.n_components, likelihood, *self._priors(X, likelihood))
        names = getattr(self, "feature_names_in_", None)
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.fit_ = fit(X, model, method, seed=self._seed, columns=names, progress=False)
        self.components_ = self.fit_.H.to_numpy()
        draws = self.fit_.tree["posterior/H"].to_numpy().reshape(-1, *self.components_.shape)
        single = np.nan if len(draws) == 1 else 1.0
        self.components_interval_ = np.quantile(draws, (0.05, 0.95), axis=0) * single
        self.n_components_ = self.fit_.n_components
        steps = self.fit_.tree["posterior"].sizes["draw"]
        self.n_iter_ = int(self.fit_.tree.attrs.get("n_iter", steps))
        self.reconstruction_err_ = divergence_of(self.fit_)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the posterior mean of W for rows X, of shape (n_samples, n_components)."""
        check_is_fitted(self)
        rows = transform(self.fit_, self._validated(X, reset=False), seed=self._seed)
        return rows.W.to_numpy()

    def fit_transform(self, X: ArrayLike, y: Any = None, **fit_params: Any) -> np.ndarray:
        """Learn the components of X, and return its W."""
        return self.fit(X, y).transform(X)

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Return ``W @ components_`` for W of shape (n_samples, n_components)."""
        check_is_fitted(self)
        return np.asarray(X) @ self.components_

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Return the mean log predictive density of rows X, in nats a row; see :func:`bayesnmf.score`.

        Under a flat prior of W, which cannot be integrated over, it is the log density at the rows'
        own W. That grows with the number of components, so it cannot choose it.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        model = self.fit_.model
        if model is not None and model.nmf is not None and model.nmf.prior_W.proper:
            return float(score(self.fit_, X, seed=self._seed).mean())
        rows = transform(self.fit_, X, seed=self._seed)
        return -0.5 * divergence_of(rows) ** 2 / len(rows.W)

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def _validated(self, X: ArrayLike, *, reset: bool) -> Any:
        X = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse=("csr", "csc"),
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
        )
        if not takes_negative_values(as_likelihood(self._likelihood())):
            check_non_negative(X, f"{type(self).__name__} (input X)")
        return X

    def _likelihood(self) -> str | Likelihood:
        if self.beta_loss is None:
            return "poisson" if self.likelihood is None else self.likelihood
        if self.likelihood is not None:
            raise ValueError(
                f"beta_loss={self.beta_loss!r} and likelihood={self.likelihood!r} both say what the noise is: "
                "give one"
            )
        return likelihood_of(self.beta_loss)

    def _method(self, X: Any) -> Method:
        method = as_method(self.method)
        if method == MAP():
            has_vectors = self.n_components < min(X.shape)
            return map_of(self.solver, self.init, self.max_iter, self.tol, has_vectors=has_vectors)
        return method

    def _priors(self, X: Any, likelihood: str | Likelihood) -> list[str | Prior]:
        """Return the priors of W and H.

        Values that are no counts are only an objective under a likelihood of counts. Multiply them by c,
        and that objective is multiplied by c, while a gamma prior, whose rate follows the scale
        of the data, stays as strong as it was. TF-IDF adds up to about nine a document, whatever the
        number of words. So the weight of the prior would be an accident of the scale: in most texts it
        outweighs the data, and the MAP estimate leaves one component. A flat prior has no such weight.
        """
        default: tuple[str | Prior, str | Prior] = ("gamma", "gamma")
        alpha = self.alpha_W or (self.alpha_H != "same" and self.alpha_H)
        if self.beta_loss is not None or alpha:
            penalties = Penalties(self.alpha_W, self.alpha_H, self.l1_ratio)
            default = penalties.priors(*X.shape)
        elif as_method(self.method).name == "map":
            quasi = as_likelihood(likelihood).is_quasi(matrix_of(X, lambda masked: True))
            default = ("flat", "flat") if quasi else default
        given = (self.prior_W, self.prior_H)
        return [own if prior is None else prior for prior, own in zip(given, default, strict=True)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.positive_only = self.likelihood != "gaussian"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
