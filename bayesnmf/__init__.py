"""Non-negative matrix factorisation as Bayesian inference."""

from bayesnmf.cli import startup

startup.guard()  # before the imports below, which take a second or two

# ArviZ, imported first, leaves a lazy numpyro behind whose submodules fail; this loads it.
from numpyro import __version__ as _  # noqa: F401

from bayesnmf import datasets, likelihoods, plots, priors
from bayesnmf.comparison import log_likelihood as _log_likelihood  # noqa: F401  gives fits a group
from bayesnmf.comparison.compare import compare
from bayesnmf.comparison.kfold import kfold
from bayesnmf.comparison.loo import loo
from bayesnmf.comparison.modes import modes
from bayesnmf.comparison.row_scores import score
from bayesnmf.comparison.scores import loo_score
from bayesnmf.comparison.waic import waic
from bayesnmf.compilation_cache import enable_compilation_cache
from bayesnmf.data import files
from bayesnmf.methods import MAP, MCMC, SVI
from bayesnmf.model import NMF
from bayesnmf.posterior.annotations import to_anndata
from bayesnmf.posterior.checks import check
from bayesnmf.posterior.endings import ConvergenceWarning
from bayesnmf.posterior.fitting import fit, resume
from bayesnmf.posterior.new_rows import transform
from bayesnmf.posterior.reference_match import match
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.uniqueness import uniqueness
from bayesnmf.predictive import log_prior as _log_prior  # noqa: F401  gives fits a group
from bayesnmf.predictive.checks import ppc
from bayesnmf.predictive.prior import prior_predictive
from bayesnmf.predictive.replicates import posterior_predictive
from bayesnmf.rank.result import RankSelection, load
from bayesnmf.rank.select import select_rank
from bayesnmf.reporting.report import report
from bayesnmf.zoo import load_model

__all__ = [
    "MAP",
    "MCMC",
    "NMF",
    "SVI",
    "BayesianNMF",
    "ConvergenceWarning",
    "Fit",
    "RankSelection",
    "check",
    "compare",
    "datasets",
    "enable_compilation_cache",
    "files",
    "fit",
    "kfold",
    "likelihoods",
    "load",
    "load_model",
    "loo",
    "loo_score",
    "match",
    "modes",
    "plots",
    "posterior_predictive",
    "ppc",
    "prior_predictive",
    "priors",
    "report",
    "resume",
    "score",
    "select_rank",
    "to_anndata",
    "transform",
    "uniqueness",
    "waic",
]


def __getattr__(name: str) -> object:
    """Import the estimator when it is asked for: it needs scikit-learn, which takes half a second."""
    if name == "BayesianNMF":
        from bayesnmf.estimator import BayesianNMF

        return BayesianNMF
    raise AttributeError(f"module 'bayesnmf' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names; folders of the package and what the imports leave are not."""
    return sorted(__all__)
