"""Exposures to known signatures: correlation with the truth, coverage of intervals, seconds.

Simulated catalogues of the COSMIC signatures that `--reference` names, of which a few are active. Refitted
by MAP and by MCMC; MAP is compared with non-negative Poisson regression by SciPy.
"""

from __future__ import annotations

import argparse
from time import perf_counter, process_time

import numpy as np
import pandas as pd
from scipy import optimize

import bayesnmf as bn
from bayesnmf.convergence import convergence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reference", required=True, help="COSMIC table: a class of mutation a row"
    )
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--active", type=int, default=12)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--prior", nargs="+", default=["ard"], choices=["ard", "gamma"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--left-out", action="store_true", help="leave each active signature out in turn instead"
    )


def simulate(
    H: pd.DataFrame, samples: int, active: int, seed: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw exposures to a few signatures, and counts."""
    rng = np.random.default_rng(seed)
    W = np.zeros((samples, len(H)))
    chosen = rng.choice(len(H), active, replace=False)
    W[:, chosen] = rng.gamma(1.0, 5000 / active, (samples, active))
    V = rng.poisson(W @ H.to_numpy()).astype(float)
    return pd.DataFrame(V, columns=H.columns), W


def regression(V: np.ndarray, H: np.ndarray) -> float:
    """Return the least negative log likelihood of all rows, by SciPy, up to a constant."""
    total = 0.0
    for v in V:

        def objective(w: np.ndarray, v: np.ndarray = v) -> tuple[float, np.ndarray]:
            mean = np.maximum(w @ H, 1e-12)
            return mean.sum() - v @ np.log(mean), H @ (1 - v / mean)

        start = np.full(len(H), v.sum() / len(H))
        options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 50}
        bounds = [(0, None)] * len(H)
        total += optimize.minimize(objective, start, jac=True, bounds=bounds, options=options).fun
    return float(total)


def run(options: argparse.Namespace) -> None:
    H = pd.read_csv(options.reference, sep="\t", index_col=0).T
    H = H.div(H.sum(axis=1), axis=0)
    V, W = simulate(H, options.samples, options.active, options.seed)
    print(
        f"{len(V)} samples, {len(H)} signatures, {options.active} active, {V.to_numpy().sum():.0f} counts"
    )

    if options.left_out:
        leave_out(V, W, H)
        return
    flat = bn.NMF(prior_W="flat", prior_H="flat", H=H)
    for word in ("cold", "warm"):
        begin = perf_counter()
        best = bn.fit(V, flat, bn.MAP(n_init=1, tol=1e-6), progress=False)
        print(
            f"MAP, {word}: {perf_counter() - begin:.2f} s, converged {best.converged}, {best.message[:60]}"
        )
    mean = np.maximum(best.mean.to_numpy(), 1e-12)
    ours = float(np.sum(mean - V.to_numpy() * np.log(mean)))
    theirs = regression(V.to_numpy()[:50], H.to_numpy())
    ours50 = float(np.sum(mean[:50] - V.to_numpy()[:50] * np.log(mean[:50])))
    print(
        f"negative log likelihood of {min(len(V), 50)} rows: ours {ours50:.6f}, SciPy {theirs:.6f}, "
        f"relative difference {(ours50 - theirs) / abs(theirs):.1e} (all rows {ours:.3f})"
    )

    for prior in options.prior:
        sample(V, W, H, prior, options)


def sample(
    V: pd.DataFrame, W: np.ndarray, H: pd.DataFrame, prior: str, options: argparse.Namespace
) -> None:
    """Draw exposures under a prior of W, and print seconds, effective draws and coverage."""
    method = bn.MCMC(num_samples=options.draws)
    begin, busy = perf_counter(), process_time()
    fit = bn.fit(V, bn.NMF(prior_W=prior, H=H), method, seed=options.seed, progress=False)
    seconds, busy = perf_counter() - begin, process_time() - busy
    begin = perf_counter()
    bn.check(fit)
    print(
        f"MCMC, prior {prior}, 4 x {options.draws} draws, cold: {seconds:.1f} s (processors {busy:.1f} s), of which "
        f"the check {perf_counter() - begin:.1f} s; {fit.message[:160]}"
    )
    draws, on = fit.tree["posterior/W"].to_numpy(), W > 0
    for name, x in (("active entries", draws[..., on]), ("masses", draws.sum(axis=2))):
        found = convergence(x)
        print(
            f"  {name}: bulk ESS smallest {found.ess_bulk.min():.0f}, median {np.median(found.ess_bulk):.0f}, "
            f"a second {np.median(found.ess_bulk) / seconds:.1f}; tail ESS smallest {found.ess_tail.min():.0f}, "
            f"median {np.median(found.ess_tail):.0f}; R-hat largest {found.rhat.max():.3f}, "
            f"99 % below {np.quantile(found.rhat, 0.99):.3f}"
        )
    means = draws.mean(axis=(0, 1))
    inside = np.concatenate([covered(draws[:, :, i], W[i]) for i in range(len(W))]).reshape(W.shape)
    correlation = np.corrcoef(np.log1p(means).ravel(), np.log1p(W).ravel())[0, 1]
    print(
        f"  posterior means: correlation with the truth in log(1 + x) {correlation:.3f}; 90 % intervals "
        f"cover {inside.mean():.3f} of all, {inside[on].mean():.3f} of the active"
    )


def leave_out(V: pd.DataFrame, W: np.ndarray, H: pd.DataFrame) -> None:
    """Print how like a free component is to each active signature that the reference lacks."""
    for k in np.flatnonzero(W.any(axis=0)):
        name, others = H.index[k], H.drop(index=H.index[k])
        model = bn.NMF(len(H), H=others, prior_W="ard")
        fit = bn.fit(V, model, bn.MAP(n_init=3), progress=False)
        found = fit.H.to_numpy()[-1]
        print(
            f"{name}: cosine {_cosine(found, H.to_numpy()[k]):.3f}, nearest in the reference "
            f"{max(_cosine(h, H.to_numpy()[k]) for h in others.to_numpy()):.3f}, mass "
            f"{float(fit.mass[0, 0, -1]):.0f} of {W[:, k].sum():.0f}",
            flush=True,
        )


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def covered(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return which entries of a row lie in their 90 % intervals."""
    low, high = np.quantile(draws, (0.05, 0.95), axis=(0, 1))
    return (low <= truth) & (high >= truth)
