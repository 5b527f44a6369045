"""Non-negative matrix factorisation as Bayesian inference."""

from bayesnmf import startup

startup.guard()  # before the imports below, which take a second or two

# ArviZ, imported first, leaves a lazy numpyro behind whose submodules fail; this loads it.
from numpyro import __version__ as _  # noqa: F401

from bayesnmf import datasets, files, likelihoods, plots, priors
from bayesnmf.checks import check
from bayesnmf.comparison import compare
from bayesnmf.criteria import loo, waic
from bayesnmf.crossvalidation import kfold
from bayesnmf.endings import ConvergenceWarning
from bayesnmf.fitting import fit
from bayesnmf.methods import MAP, MCMC, SVI
from bayesnmf.model import NMF
from bayesnmf.multimodality import modes
from bayesnmf.posterior import Fit
from bayesnmf.predictive import posterior_predictive
from bayesnmf.predictive_checks import ppc
from bayesnmf.rank import select_rank
from bayesnmf.rank_selection import RankSelection, load
from bayesnmf.reporting import report
from bayesnmf.scores import loo_score
from bayesnmf.shears import uniqueness
from bayesnmf.zoo import load_model

__all__ = [
    "MAP",
    "MCMC",
    "NMF",
    "SVI",
    "ConvergenceWarning",
    "Fit",
    "RankSelection",
    "check",
    "compare",
    "datasets",
    "files",
    "fit",
    "kfold",
    "likelihoods",
    "load",
    "load_model",
    "loo",
    "loo_score",
    "modes",
    "plots",
    "posterior_predictive",
    "ppc",
    "priors",
    "report",
    "select_rank",
    "uniqueness",
    "waic",
]
