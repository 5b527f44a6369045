"""MCMC against a hand-written NumPyro NUTS: effective draws per second of the whole process.

Every run is a fresh Python: import, compilation, warm-up and draws all count. Effective sample
sizes (bulk) are of 400 random cells of WH (least and median), of the log joint density, and of each
component's mass after scaling and matching; the smallest counts. All samplers get the same data and priors.
PyMC with nutpie is a peer where both are installed.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np

import bayesnmf as bn

#: Data, likelihood and rank by name.
PROBLEMS = {
    "breast21x4": ("breast21", "poisson", 4),
    "poisson-100x96x5": ((100, 96), "poisson", 5),
    "poisson-100x96x5-shape-0.5": ((100, 96), "poisson", 5),
    "poisson-500x200x8": ((500, 200), "poisson", 8),
    "gaussian-100x96x5": ((100, 96), "gaussian", 5),
    "gamma-100x96x5": ((100, 96), "gamma", 5),
    "gamma-500x200x8": ((500, 200), "gamma", 8),
    "negative_binomial-100x96x5": ((100, 96), "negative_binomial", 5),
    "negative_binomial-500x200x8": ((500, 200), "negative_binomial", 8),
}
#: Draws of each chain: of two after 500 steps of warm-up for NUTS, of four for the structured sampler.
SAMPLERS = {
    "structured": 1000,
    "structured-3000": 3000,
    "nuts-500": 500,
    "nuts-3000": 3000,
    "nutpie-500": 500,
    "nutpie-3000": 3000,
    "nutpie_lowrank-3000": 3000,
}
CELLS = 400

type Sites = tuple[dict[str, np.ndarray], np.ndarray]
#: Draws again each time it is called; compiled programs are kept.
type Sample = Callable[[], Sites]


def run(names: list[str], samplers: list[str], repeats: int, warm: bool = False) -> None:
    """Print medians over seeds for each problem and sampler; warm: also sampling alone."""
    for name in names:
        print(f"\n{name}: medians of {repeats} seeds")
        print(
            f"{'sampler':16s}{'seconds':>9s}{'(draws)':>9s}{'WH':>8s}{'WH/s':>8s}{'median':>8s}"
            f"{'mass':>8s}{'mass/s':>8s}{'lp':>8s}{'R-hat':>8s}"
        )
        for sampler in samplers:
            if sampler.startswith("nutpie") and not _has_nutpie():
                print(f"{sampler:16s} skipped: needs pymc and nutpie")
                continue
            results = [_fresh(name, sampler, seed, warm) for seed in range(repeats)]
            median = {key: np.median([r[key] for r in results]) for key in results[0]}
            print(
                f"{sampler:16s}{median['seconds']:9.1f}{median['sampling']:9.1f}"
                f"{median['WH']:8.0f}{median['WH'] / median['seconds']:8.1f}"
                f"{median['median_WH']:8.0f}{median['mass']:8.0f}"
                f"{median['mass'] / median['seconds']:8.2f}{median['lp']:8.0f}{median['rhat']:8.3f}",
                flush=True,
            )


def _has_nutpie() -> bool:
    return all(importlib.util.find_spec(package) for package in ("pymc", "nutpie"))


def _fresh(name: str, sampler: str, seed: int, warm: bool) -> dict[str, float]:
    """Run one sampler in a process of its own."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.mcmc", name, sampler, str(seed), str(int(warm))]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds = time.perf_counter() - began
    result: dict[str, float] = json.loads(out.splitlines()[-1])
    # The diagnosis, and a second run, are no part of the whole process.
    return {**result, "seconds": seconds - result.pop("apart")}


def _one(name: str, sampler: str, seed: int, warm: bool) -> dict[str, float]:
    source, likelihood, rank = PROBLEMS[name]
    if source == "breast21":
        V = bn.datasets.breast21().to_numpy()
    else:
        V, _, _ = bn.datasets.make_nmf(*source, rank, likelihood, seed=0)
    prepare = {
        "structured": _structured,
        "nuts": _nuts,
        "nutpie": _nutpie,
        "nutpie_lowrank": partial(_nutpie, low_rank=True),
    }[sampler.partition("-")[0]]
    shape = 0.5 if name.endswith("shape-0.5") else 1.0
    sample = prepare(V, likelihood, rank, shape, seed, SAMPLERS[sampler])
    sites, lp = sample()
    began = time.perf_counter()
    if warm:
        sample()
    sampling = time.perf_counter() - began if warm else np.nan
    result = _diagnose(sites["W"], sites["H"], lp)
    return {**result, "sampling": sampling, "apart": time.perf_counter() - began}


def _structured(
    V: np.ndarray, likelihood: str, rank: int, shape: float, seed: int, num_samples: int
) -> Sample:
    import jax

    from bayesnmf.data import Matrix
    from bayesnmf.methods import MCMC
    from bayesnmf.progress import Silent

    def sample() -> Sites:
        with jax.enable_x64(True):
            matrix = Matrix.of(V)
            prior = bn.priors.Gamma(shape)
            model = bn.NMF(rank, likelihood, prior, prior).resolve(matrix)
            draws = MCMC(num_samples=num_samples).run(model, matrix, jax.random.key(seed), Silent())
        return dict(draws.sites), draws.stats["lp"]

    return sample


def _nuts(
    V: np.ndarray, likelihood: str, rank: int, shape: float, seed: int, num_samples: int
) -> Sample:
    """Write the model as a user of NumPyro would, and run NUTS with its defaults."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    jax.config.update("jax_enable_x64", True)
    rate, variance = _rate(V, rank, shape), float(V.var())

    def model(V: np.ndarray) -> None:
        n, m = V.shape
        prior = dist.Exponential(rate) if shape == 1.0 else dist.Gamma(shape, rate)
        W = numpyro.sample("W", prior.expand([n, rank]).to_event(2))
        H = numpyro.sample("H", prior.expand([rank, m]).to_event(2))
        mean = W @ H
        if likelihood == "poisson":
            cells = dist.Poisson(mean)
        elif likelihood == "gaussian":
            precision = numpyro.sample("precision", dist.Exponential(variance))
            cells = dist.Normal(mean, precision**-0.5)
        elif likelihood == "negative_binomial":
            concentration = numpyro.sample("concentration", dist.InverseGamma(1.0, 1.0))
            cells = dist.NegativeBinomial2(mean, concentration)
        else:
            alpha = numpyro.sample("alpha", dist.Exponential(0.01))
            cells = dist.Gamma(alpha, alpha / mean)
        numpyro.sample("V", cells.to_event(2), obs=V)

    sampler = MCMC(
        NUTS(model),
        num_warmup=500,
        num_samples=num_samples,
        num_chains=2,
        chain_method="sequential",
        progress_bar=False,
    )

    def sample() -> Sites:
        sampler.run(jax.random.key(seed), jnp.asarray(V), extra_fields=("potential_energy",))
        sites = {k: np.asarray(v) for k, v in sampler.get_samples(group_by_chain=True).items()}
        energy = sampler.get_extra_fields(group_by_chain=True)["potential_energy"]
        return sites, -np.asarray(energy)

    return sample


def _nutpie(
    V: np.ndarray,
    likelihood: str,
    rank: int,
    shape: float,
    seed: int,
    num_samples: int,
    low_rank: bool = False,
) -> Sample:
    """Write the model as a user of PyMC would, and sample it by nutpie.

    With its defaults, or with the metric of low rank that it learns from draws and gradients.
    """
    import nutpie
    import pymc as pm

    (n, m), rate = V.shape, _rate(V, rank, shape)
    with pm.Model() as model:
        if shape == 1.0:
            W = pm.Exponential("W", rate, shape=(n, rank))
            H = pm.Exponential("H", rate, shape=(rank, m))
        else:
            W = pm.Gamma("W", shape, rate, shape=(n, rank))
            H = pm.Gamma("H", shape, rate, shape=(rank, m))
        mean = W @ H
        if likelihood == "poisson":
            pm.Poisson("V", mean, observed=V.astype(int))
        elif likelihood == "gaussian":
            precision = pm.Exponential("precision", V.var())
            pm.Normal("V", mean, tau=precision, observed=V)
        elif likelihood == "negative_binomial":
            concentration = pm.InverseGamma("concentration", 1.0, 1.0)
            pm.NegativeBinomial("V", mu=mean, alpha=concentration, observed=V.astype(int))
        else:
            alpha = pm.Exponential("alpha", 0.01)
            pm.Gamma("V", alpha, alpha / mean, observed=V)
    compiled = nutpie.compile_pymc_model(model)

    def sample() -> Sites:
        found = nutpie.sample(
            compiled,
            draws=num_samples,
            tune=500,
            chains=2,
            seed=seed,
            progress_bar=False,
            low_rank_modified_mass_matrix=low_rank,
        )
        posterior = found["posterior"]
        sites = {name: posterior[name].to_numpy() for name in ("W", "H")}
        return sites, found["sample_stats"]["logp"].to_numpy()

    return sample


def _rate(V: np.ndarray, rank: int, shape: float) -> float:
    """Return the rate that this package gives a prior of this shape."""
    return shape * float(np.sqrt(rank / max(V.mean(), 1e-300)))


def _diagnose(W: np.ndarray, H: np.ndarray, lp: np.ndarray) -> dict[str, float]:
    from arviz_stats.base import array_stats

    from bayesnmf.posterior.components import align

    aligned = align(W, H, lp)
    rng = np.random.default_rng(0)
    cells = rng.choice(W.shape[2] * H.shape[3], min(CELLS, W.shape[2] * H.shape[3]), replace=False)
    rows, columns = np.unravel_index(cells, (W.shape[2], H.shape[3]))
    mean = np.einsum("cdek,cdke->cde", W[:, :, rows], H[..., columns])
    mass = aligned.W.sum(axis=2)
    axes = {"chain_axis": 0, "draw_axis": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            name: array_stats.ess(values, **axes)
            for name, values in (("WH", mean), ("mass", mass), ("lp", lp[..., None]))
        }
        rhat = max(float(np.max(array_stats.rhat(x, **axes))) for x in (mean, mass, lp[..., None]))
    least = {name: float(np.min(values)) for name, values in found.items()}
    return {**least, "median_WH": float(np.median(found["WH"])), "rhat": rhat}


if __name__ == "__main__":
    print(json.dumps(_one(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1")))
