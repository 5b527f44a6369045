"""MAP against scikit-learn: seconds from the same start to a relative gap above the best objective.

Every solver starts from the same W and H and is asked for the same objective, a divergence
without penalties. Its curve of divergence against time is recorded in pieces, the divergence
being computed off the clock; the reference is the lowest divergence that any solver reached. The
cold time adds what the first run of the process took longer, which is compilation.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import NMF as SklearnNMF

import bayesnmf as bn
from bayesnmf.data import Matrix
from bayesnmf.likelihoods import Beta, Gamma, Gaussian, Likelihood, NegativeBinomial, Poisson
from bayesnmf.methods.optimise import acceleration, descent, multiplicative
from bayesnmf.methods.optimise.accelerated_search import warm_up
from bayesnmf.methods.optimise.acceleration import Factors
from bayesnmf.methods.optimise.solution import Search
from bayesnmf.observed import observe
from benchmarks import peers

GAPS = (1e-4, 1e-6, 1e-8)
#: Accelerated steps between two looks at the divergence.
PIECE = 3
#: Pieces of 50 plain updates at most.
MOST = 500
#: Every curve ends after this many seconds at most.
LIMIT = 400.0

#: Seconds on the clock, and the divergence then.
type Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Problem:
    """A simulated matrix and the likelihood that both packages maximise."""

    shape: tuple[int, int]
    rank: int
    likelihood: Likelihood
    loss: str | None
    options: dict[str, float]

    def start(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return V and the half-normal start that scikit-learn's init="random" has."""
        name = self.likelihood.name
        V, _, _ = bn.datasets.make_nmf(*self.shape, self.rank, name, seed=0, **self.options)
        rng = np.random.default_rng(0)
        mean = self.likelihood.typical_mean(Matrix.of(V))
        scale = np.sqrt(mean / self.rank)
        W = scale * np.abs(rng.normal(size=(self.shape[0], self.rank)))
        return V, W, scale * np.abs(rng.normal(size=(self.rank, self.shape[1])))


PROBLEMS = {
    "kl-100x96x5": Problem((100, 96), 5, Poisson(), "kullback-leibler", {}),
    "kl-500x200x10": Problem((500, 200), 10, Poisson(), "kullback-leibler", {}),
    "kl-2000x1000x20": Problem((2000, 1000), 20, Poisson(), "kullback-leibler", {}),
    "is-500x300x8": Problem((500, 300), 8, Gamma(shape=1.0), "itakura-saito", {"shape": 5.0}),
    "fro-2000x1000x20": Problem((2000, 1000), 20, Gaussian(sigma=1.0), "frobenius", {}),
    "nb-500x200x8": Problem((500, 200), 8, NegativeBinomial(5.0), None, {"concentration": 5.0}),
    "beta-200x100x5": Problem((200, 100), 5, Beta(20.0), None, {"precision": 20.0}),
}


def run(names: list[str], repeats: int, plot: str | None) -> None:
    """Print a table for each problem, and draw the curves."""
    curves = {}
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn says that it has not converged, as asked
        for name in names:
            curves[name] = _compare(name, PROBLEMS[name], repeats)
    if plot:
        _draw(curves, plot)


def _compare(name: str, problem: Problem, repeats: int) -> dict[str, Curve]:
    V, W, H = problem.start()
    model = bn.NMF(problem.rank, problem.likelihood, "flat", "flat").resolve(V)
    solvers: dict[str, Callable[[], Curve]] = {"newton": lambda: _newton(model, V, W, H)}
    if problem.shape[0] < 2000:  # where it takes minutes, and scikit-learn's stands for it
        solvers["mu"] = lambda: _plain(model, V, W, H)
    if problem.loss:
        solvers["scikit-learn mu"] = lambda: _sklearn(problem, V, W, H, "mu")
        # They take no negative values, which Gaussian noise around small means has.
        for other, peer in peers.installed().items() if V.min() >= 0 else ():
            solvers[other] = partial(_peer, peer, problem, V, W, H)
    if problem.loss == "frobenius":
        solvers["scikit-learn cd"] = lambda: _sklearn(problem, V, W, H, "cd")
    first = _newton(model, V, W, H)
    runs = {solver: [curve()] for solver, curve in solvers.items()}
    for solver, curve in solvers.items():
        quick = runs[solver][0][-1][0] < LIMIT / 10
        runs[solver] += [curve() for _ in range(repeats - 1 if quick else 0)]
    best = min(value for found in runs.values() for curve in found for _, value in curve)
    best = min(best, first[-1][1])
    compilation = first[-1][0] - np.median([curve[-1][0] for curve in runs["newton"]])
    print(f"\n{name}: lowest divergence {best:.6g}; compiling took {compilation:.2f} s")
    print(f"{'solver':18s}" + "".join(f"{f'gap {gap:.0e}':>12s}" for gap in GAPS) + "   runs")
    for solver, found in runs.items():
        times = [np.median([_reached(curve, best, gap) for curve in found]) for gap in GAPS]
        print(f"{solver:18s}" + "".join(_seconds(t) for t in times) + f"{len(found):7d}")
    for solver, found in runs.items():
        if solver != "newton":
            ratios = [_ratio(found, runs["newton"], best, gap, 0.0) for gap in GAPS]
            colds = [_ratio(found, runs["newton"], best, gap, compilation) for gap in GAPS]
            print(f"{solver} / newton, warm: {', '.join(ratios)}; cold: {', '.join(colds)}")
    return {solver: found[-1] for solver, found in runs.items()}


def _newton(model: bn.NMF, V: np.ndarray, W: np.ndarray, H: np.ndarray) -> Curve:
    data = observe(model, Matrix.of(V))
    clock = _Clock()
    with clock:
        point = multiplicative.first_point(model, W, H, {})
        steps = warm_up(Search("newton", 10_000, 0.0), point)
        point = multiplicative.iterate(model, data, point, num_steps=steps, log_space=False)
        state = acceleration.first_state(Factors(point.W.T, point.H, {}), point.objective)
        state.n_iter.block_until_ready()
    curve: Curve = []
    while int(state.n_iter) < 1000 and float(state.residual) > 1e-7:
        with clock:
            limit = jnp.asarray(int(state.n_iter) + PIECE)
            state = descent.advance(
                model, data, state, limit, jnp.asarray(0.0), algorithm="newton", log_space=False
            )
            state.n_iter.block_until_ready()
        W, H = np.asarray(state.accepted.W).T, np.asarray(state.accepted.H)
        curve.append((clock.seconds, _divergence(model, V, W, H)))
        if int(state.stalled) >= acceleration.MAX_STALLED:
            break
    return curve


def _plain(model: bn.NMF, V: np.ndarray, W: np.ndarray, H: np.ndarray) -> Curve:
    data = observe(model, Matrix.of(V))
    clock, curve = _Clock(), []
    point = multiplicative.first_point(model, W, H, {})
    for _ in range(200):
        with clock:
            point = multiplicative.iterate(model, data, point, num_steps=50, log_space=False)
            point.objective.block_until_ready()
        curve.append(
            (clock.seconds, _divergence(model, V, np.asarray(point.W), np.asarray(point.H)))
        )
        if clock.seconds > LIMIT:
            break
    return curve


def _sklearn(problem: Problem, V: np.ndarray, W: np.ndarray, H: np.ndarray, solver: str) -> Curve:
    clock, curve = _Clock(), []
    W, H = W.copy(), H.copy()  # scikit-learn updates a custom start in place
    model = bn.NMF(problem.rank, problem.likelihood, "flat", "flat").resolve(V)
    for _ in range(MOST):
        reference = SklearnNMF(
            problem.rank, init="custom", solver=solver, beta_loss=problem.loss, max_iter=50, tol=0.0
        )
        with clock:
            # A custom start continues where the last piece ended.
            W = reference.fit_transform(V, W=W, H=H)
        H = reference.components_
        curve.append((clock.seconds, _divergence(model, V, W, H)))
        if clock.seconds > LIMIT:
            break
    return curve


def _peer(
    peer: peers.Continue, problem: Problem, V: np.ndarray, W: np.ndarray, H: np.ndarray
) -> Curve:
    clock, curve = _Clock(), []
    model = bn.NMF(problem.rank, problem.likelihood, "flat", "flat").resolve(V)
    for _ in range(MOST):
        with clock:
            W, H = peer(V, W, H, str(problem.loss), 50)
        curve.append((clock.seconds, _divergence(model, V, W, H)))
        if clock.seconds > LIMIT / 10:
            break
    return curve


def _divergence(model: bn.NMF, V: np.ndarray, W: np.ndarray, H: np.ndarray) -> float:
    likelihood, mean = model.likelihood, np.maximum(W @ H, 1e-150)
    known = likelihood.known
    loss = likelihood.saturated(V, **known) - likelihood.log_density(V, mean, **known)
    return float(np.sum(loss))


class _Clock:
    """A stopwatch that runs inside `with`."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began


def _reached(curve: Curve, best: float, gap: float) -> float:
    """Return the time at which a curve comes within `gap` of the best, or infinity."""
    return next((seconds for seconds, value in curve if value <= best * (1 + gap)), np.inf)


def _ratio(slow: list[Curve], fast: list[Curve], best: float, gap: float, extra: float) -> str:
    """Return how many times as long the slow solver took, or more than it was given."""
    short = np.median([_reached(curve, best, gap) for curve in fast]) + extra
    long = np.median([_reached(curve, best, gap) for curve in slow])
    if np.isinf(long):
        return f"> {min(curve[-1][0] for curve in slow) / short:.3g}"
    return f"{long / short:.3g}"


def _seconds(value: float) -> str:
    return f"{'not reached':>12s}" if np.isinf(value) else f"{value:12.3f}"


def _draw(curves: dict[str, dict[str, Curve]], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(
        1, len(curves), figsize=(4 * len(curves), 3.5), squeeze=False, layout="constrained"
    )
    for axes, (name, solvers) in zip(panels[0], curves.items(), strict=True):
        best = min(value for curve in solvers.values() for _, value in curve)
        for solver, curve in solvers.items():
            seconds, values = np.array(curve).T
            axes.loglog(seconds, np.maximum(values / best - 1, 1e-12), label=solver)
        axes.set(title=name, xlabel="seconds", ylim=(1e-10, 10))
    panels[0, 0].set_ylabel("relative gap to the lowest divergence")
    panels[0, 0].legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
