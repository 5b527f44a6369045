"""MCMC against a hand-written NumPyro NUTS: effective draws per second of the whole process.

Every run is a fresh Python: import, compilation, warm-up and draws all count. Effective sample
sizes (bulk) are of 400 random cells of WH, of the log joint density, and of each component's mass
after scaling and matching; the smallest counts. Both samplers get the same data and priors.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings

import numpy as np

import bayesnmf as bn

#: Data, likelihood and rank by name.
PROBLEMS = {
    "breast21x4": ("breast21", "poisson", 4),
    "poisson-100x96x5": ((100, 96), "poisson", 5),
    "poisson-500x200x8": ((500, 200), "poisson", 8),
    "gaussian-100x96x5": ((100, 96), "gaussian", 5),
    "gamma-100x96x5": ((100, 96), "gamma", 5),
}
#: Draws of each of two chains, after 500 steps of warm-up for NUTS; ours runs at its defaults.
SAMPLERS = {"structured": {}, "nuts-500": {"num_samples": 500}, "nuts-3000": {"num_samples": 3000}}
CELLS = 400


def run(names: list[str], samplers: list[str], repeats: int) -> None:
    """Print medians over seeds for each problem and sampler, and ratios to the first NUTS."""
    for name in names:
        print(f"\n{name}: medians of {repeats} seeds")
        print(f"{'sampler':12s}{'seconds':>9s}{'WH':>8s}{'WH/s':>8s}{'mass':>8s}{'mass/s':>8s}"
              f"{'lp':>8s}{'R-hat':>8s}")  # fmt: skip
        for sampler in samplers:
            results = [_fresh(name, sampler, seed) for seed in range(repeats)]
            median = {key: np.median([r[key] for r in results]) for key in results[0]}
            print(
                f"{sampler:12s}{median['seconds']:9.1f}{median['WH']:8.0f}"
                f"{median['WH'] / median['seconds']:8.1f}{median['mass']:8.0f}"
                f"{median['mass'] / median['seconds']:8.2f}{median['lp']:8.0f}{median['rhat']:8.3f}",
                flush=True,
            )


def _fresh(name: str, sampler: str, seed: int) -> dict[str, float]:
    """Run one sampler in a process of its own."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.mcmc", name, sampler, str(seed)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds = time.perf_counter() - began
    result: dict[str, float] = json.loads(out.splitlines()[-1])
    # What the diagnosis took is no part of the sampling.
    return {**result, "seconds": seconds - result.pop("diagnosis")}


def _one(name: str, sampler: str, seed: int) -> dict[str, float]:
    source, likelihood, rank = PROBLEMS[name]
    if source == "breast21":
        V = bn.datasets.breast21().to_numpy()
    else:
        V, _, _ = bn.datasets.make_nmf(*source, rank, likelihood, seed=0)
    if sampler == "structured":
        sites, lp = _structured(V, likelihood, rank, seed)
    else:
        sites, lp = _nuts(V, likelihood, rank, seed, **SAMPLERS[sampler])
    began = time.perf_counter()
    result = _diagnose(sites["W"], sites["H"], lp)
    return {**result, "diagnosis": time.perf_counter() - began}


def _structured(
    V: np.ndarray, likelihood: str, rank: int, seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    import jax

    from bayesnmf.data import Matrix
    from bayesnmf.methods import MCMC

    with jax.enable_x64(True):
        matrix = Matrix.of(V)
        model = bn.NMF(rank, likelihood).resolve(matrix)
        draws = MCMC().run(model, matrix, jax.random.key(seed), False)
    return dict(draws.sites), draws.stats["lp"]


def _nuts(
    V: np.ndarray, likelihood: str, rank: int, seed: int, num_samples: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Write the model as a user of NumPyro would, and run NUTS with its defaults."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    jax.config.update("jax_enable_x64", True)
    rate = float(np.sqrt(rank / max(V.mean(), 1e-300)))
    spread = float(V.std())

    def model(V: np.ndarray) -> None:
        n, m = V.shape
        W = numpyro.sample("W", dist.Exponential(rate).expand([n, rank]).to_event(2))
        H = numpyro.sample("H", dist.Exponential(rate).expand([rank, m]).to_event(2))
        mean = W @ H
        if likelihood == "poisson":
            cells = dist.Poisson(mean)
        elif likelihood == "gaussian":
            precision = numpyro.sample("precision", dist.Exponential(spread**2))
            cells = dist.Normal(mean, precision**-0.5)
        else:
            shape = numpyro.sample("shape", dist.Exponential(0.01))
            cells = dist.Gamma(shape, shape / mean)
        numpyro.sample("V", cells.to_event(2), obs=V)

    sampler = MCMC(
        NUTS(model), num_warmup=500, num_samples=num_samples, num_chains=2,
        chain_method="sequential", progress_bar=False,
    )  # fmt: skip
    sampler.run(jax.random.key(seed), jnp.asarray(V), extra_fields=("potential_energy",))
    sites = {k: np.asarray(v) for k, v in sampler.get_samples(group_by_chain=True).items()}
    energy = sampler.get_extra_fields(group_by_chain=True)["potential_energy"]
    return sites, -np.asarray(energy)


def _diagnose(W: np.ndarray, H: np.ndarray, lp: np.ndarray) -> dict[str, float]:
    from arviz_stats.base import array_stats

    from bayesnmf.components import align

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
            name: float(np.min(array_stats.ess(values, **axes)))
            for name, values in (("WH", mean), ("mass", mass), ("lp", lp[..., None]))
        }
        rhat = max(float(np.max(array_stats.rhat(x, **axes))) for x in (mean, mass, lp[..., None]))
    return {**found, "rhat": rhat}


if __name__ == "__main__":
    print(json.dumps(_one(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
