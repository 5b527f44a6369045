"""Do fast and slow solvers find the same optimum? Twenty random problems of each likelihood.

Both start from the same W and H. The slow solver is plain multiplicative updates, 20,000 of them.
If the fast one ends higher by more than 1e-6, relative to the objective, it has ended in another
local optimum; each such problem is listed. It ends lower in another optimum too, or if the slow
one has not arrived.
"""

from __future__ import annotations

import jax
import numpy as np

import bayesnmf as bn

SHAPE, RANK, PROBLEMS = (20, 15), 3, 20
TOLERANCE = 1e-6
OPTIONS = {
    "poisson": {},
    "negative_binomial": {"concentration": 5.0},
    "gaussian": {},
    "gamma": {"shape": 5.0},
    "beta": {"precision": 20.0},
}


def run(solver: str = "newton") -> None:
    """Print one line a likelihood, and one for each problem that ends higher."""
    for name, options in OPTIONS.items():
        lower, higher = 0, []
        for seed in range(PROBLEMS):
            fast, slow = (_objective(name, options, seed, s) for s in (solver, "mu"))
            gap = (fast - slow) / max(abs(slow), 1.0)
            lower += gap < -TOLERANCE
            if gap > TOLERANCE:
                higher.append((seed, gap))
        equal = PROBLEMS - lower - len(higher)
        print(f"{name:18s} {solver} ended equal {equal}, lower {lower}, higher {len(higher)}")
        for seed, gap in higher:
            print(f"    problem {seed}: higher by {gap:.1e}, relative: another local optimum")
        jax.clear_caches()


def _objective(name: str, options: dict[str, float], seed: int, solver: str) -> float:
    V, _, _ = bn.datasets.make_nmf(*SHAPE, RANK, name, seed=seed, **options)
    rng = np.random.default_rng(seed)
    scale = np.sqrt(np.mean(V) / RANK)
    start = (
        scale * rng.gamma(2.0, 0.5, (SHAPE[0], RANK)),
        scale * rng.gamma(2.0, 0.5, (RANK, SHAPE[1])),
    )
    method = bn.MAP(solver, init=start, tol=1e-6, max_iter=20_000)
    fit = bn.fit(V, bn.NMF(RANK, name), method, progress=False)
    return float(fit.tree.attrs["objective"])
