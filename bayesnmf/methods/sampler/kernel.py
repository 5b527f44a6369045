"""The structured sampler as a NumPyro kernel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from numpyro.infer.mcmc import MCMCKernel

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler import tuning as warmup
from bayesnmf.methods.sampler.plan import Plan
from bayesnmf.methods.sampler.sweep import sweep
from bayesnmf.methods.sampler.target import (
    Position,
    log_joint_at,
    position_of,
    sites_of,
)
from bayesnmf.methods.sampler.tuning import Tuning
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled


class NMFState(NamedTuple):
    """The state of a chain.

    Attributes
    ----------
    z : Position
        Logarithms of W and H, component first, the likelihood's parameters, and the rates.
    log_joint : array
        Log joint density of data, W, H and parameters.
    constant : array
        Terms of it that do not change, and take long to compute: log factorials of counts.
    accept_prob : array
        Acceptance probability of the last joint trajectory, or of the factors' where there is
        none.
    block_accept_prob : array
        Mean acceptance probability of the last row-parallel trajectories.
    tuning : Tuning
        Masses, step sizes and widths; constant after warm-up.
    num_warmup, i, end : array
        Steps of the warm-up, steps made, and the number of steps after which the chain stands
        still; shared by chains that run in lockstep.
    rng_key : array
        Random key of the next step.
    """

    z: Position
    log_joint: Array
    constant: Array
    accept_prob: Array
    block_accept_prob: Array
    tuning: Tuning
    num_warmup: Array
    i: Array
    end: Array
    rng_key: Array


#: Which parts of the state have a chain dimension: the counters do not, so that what warm-up does
#: once in a while is a branch and not a select.
_BATCHED = NMFState(0, 0, 0, 0, 0, 0, None, None, None, 0)  # type: ignore[arg-type]


class NMFKernel(MCMCKernel):
    """A Markov kernel that leaves the posterior of an :class:`bayesnmf.NMF` invariant.

    A step is one sweep. It runs under
    ``numpyro.infer.MCMC`` with model and data as the arguments of ``run``, and initial values
    ``{"W": (row, component), "H": (component, column), **parameters}``.

    Parameters
    ----------
    plan : Plan
        The moves.

    Examples
    --------
    >>> import numpy as np
    >>> from numpyro.infer import MCMC
    >>> from bayesnmf.data import Matrix
    >>> from bayesnmf.observed import dense_cells_of
    >>> V = np.array([[3.0, 1.0, 0.0], [1.0, 4.0, 2.0]], np.float32)
    >>> model = NMF(1).resolve(V)
    >>> run = MCMC(NMFKernel(), num_warmup=20, num_samples=10, progress_bar=False, jit_model_args=True)
    >>> init = {"W": jnp.ones((2, 1)), "H": jnp.ones((1, 3))}
    >>> run.run(jax.random.key(0), model, dense_cells_of(model, Matrix.of(V)), init_params=init)
    >>> run.get_samples()["W"].shape
    (10, 2, 1)
    """

    sample_field = "z"

    def __init__(self, plan: Plan = Plan()) -> None:  # noqa: B008  # frozen
        self.plan = plan
        # NumPyro initialises a kernel whose `_sample_fn` is None even when it continues from a state.
        self._sample_fn = self.sample

    @property
    def default_fields(self) -> tuple[str, ...]:
        """Return what is collected of every draw."""
        return (self.sample_field, "log_joint", "accept_prob")

    def get_diagnostics_str(self, state: NMFState) -> str:
        """Return what the progress bar shows."""
        step = jnp.exp(state.tuning.steps.joint.log_step)
        return (
            f"joint step {float(step.mean()):.2f}, acc. prob {float(state.accept_prob.mean()):.2f}"
        )

    def postprocess_fn(self, model_args: Any, model_kwargs: Any) -> Any:
        """Return the function from logarithms to the sites W, H and parameters."""
        return sites_of

    def init(
        self,
        rng_key: Array,
        num_warmup: int | Array,
        init_params: dict[str, Array],
        model_args: Any,
        model_kwargs: Any,
    ) -> NMFState:
        """Return the state at given values; with a batch of keys, a batch of chains."""
        if init_params is None:
            raise ValueError("the structured sampler starts at given values: pass init_params")
        model, data = model_args
        # Of definite type, like one that is read from a file: a weak one would compile the loop again.
        return start_chain(model, data, rng_key, jnp.asarray(num_warmup, int), init_params)

    def sample(self, state: NMFState, model_args: Any, model_kwargs: Any) -> NMFState:
        """Return the state after one step."""
        model, data = model_args
        if self.plan.adapts:
            due = warmup.refresh_due(state.i, state.num_warmup)
            refresh = partial(refresh_chains, model, data)
            state = lax.cond(due, refresh, lambda state: state, state)
        return step_chains(self.plan, model, data, state)


def refresh_chains(model: NMF, data: Sampled, state: NMFState) -> NMFState:
    """Take the masses of a chain, or of a batch of them, anew."""

    def refresh(state: NMFState) -> NMFState:
        return state._replace(tuning=warmup.refreshed(model, data, state.tuning))

    return _of_each(refresh, state)


def step_chains(plan: Plan, model: NMF, data: Sampled, state: NMFState) -> NMFState:
    """Advance a chain, or a batch of them, by one step with the masses that it has."""
    step = partial(_of_each, partial(_step, plan, model, data))
    return lax.cond(state.i < state.end, step, lambda state: state, state)


def _of_each(change: Callable[[NMFState], NMFState], state: NMFState) -> NMFState:
    if jnp.ndim(state.i) == jnp.ndim(state.accept_prob):
        return change(state)
    if len(state.accept_prob) == 1:
        return _alone(change, state)
    return jax.vmap(change, in_axes=(_BATCHED,), out_axes=_BATCHED)(state)


def _alone(step: Callable[[NMFState], NMFState], state: NMFState) -> NMFState:
    """Advance a batch of one chain without its dimension, which makes a smaller and a faster program."""
    chain = {name: x for name, x in state._asdict().items() if getattr(_BATCHED, name) == 0}
    new = step(state._replace(**jax.tree.map(lambda x: x[0], chain)))
    chain = {name: x for name, x in new._asdict().items() if name in chain}
    return new._replace(**jax.tree.map(lambda x: x[None], chain))


@jax.jit
def start_chain(
    model: NMF, data: Sampled, key: Array, num_warmup: Array, values: dict[str, Array]
) -> NMFState:
    """Return the state of a chain at given values; of a batch of chains where they have one."""

    def start(key: Array, values: dict[str, Array]) -> NMFState:
        parameters = {
            name: values[name] for name in (*model.likelihood.priors, *model.hyper_priors)
        }
        position = position_of(values["W"], values["H"], parameters)
        tuning = warmup.first_tuning(model, data, position)
        zero = jnp.zeros((), position.W.dtype)
        value = log_joint_at(model, data, position)
        constant = value - log_joint_at(model, data, position, constants=False)
        never = jnp.full_like(num_warmup, jnp.iinfo(num_warmup.dtype).max)
        i = jnp.zeros_like(num_warmup)
        return NMFState(position, value, constant, zero, zero, tuning, num_warmup, i, never, key)

    if jnp.ndim(values["W"]) == 2:
        return start(key, values)
    return jax.vmap(start, out_axes=_BATCHED)(key, values)


def _step(plan: Plan, model: NMF, data: Sampled, state: NMFState) -> NMFState:
    """Do one sweep, and learn from it in warm-up."""
    key, key_sweep = jax.random.split(state.rng_key)
    position, acceptance = sweep(plan, model, data, state.z, state.tuning, key_sweep)

    def adapted() -> Tuning:
        learned = (acceptance, state.i, state.num_warmup)
        return warmup.adapt(model, state.tuning, position, *learned)

    tuning = state.tuning
    if plan.adapts:
        tuning = lax.cond(state.i < state.num_warmup, adapted, lambda: state.tuning)
    steps = acceptance.steps
    block = 0.5 * (jnp.mean(steps.W) + jnp.mean(steps.H))
    return state._replace(
        z=position,
        log_joint=state.constant + log_joint_at(model, data, position, constants=False),
        accept_prob=steps.joint if plan.moves_jointly else block,
        block_accept_prob=block,
        tuning=tuning,
        i=state.i + 1,
        rng_key=key,
    )
