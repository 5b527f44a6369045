"""Modes: different factorisations that the chains of one fit have found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesnmf.comparison.compare import compare
from bayesnmf.markup import fragment
from bayesnmf.posterior.assembly import reordered
from bayesnmf.posterior.clusters import in_words
from bayesnmf.posterior.component_names import carried, named
from bayesnmf.posterior.components import align
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.verdict import finished

#: What the weights say, for the table's reader.
MEANING = (
    "weight: share of the mode in the mixture of predictive distributions that predicts cells "
    "left out best (stacking); not the probability of the mode, nor its share of chains"
)


@dataclass(frozen=True, eq=False)
class Modes:
    """The modes of a fit; ``modes[0]`` is the fit of one mode's chains alone.

    Parameters
    ----------
    fit : Fit
        All chains.
    labels : DataArray of int of dim (chain,)
        Mode of each chain; 0 is the mode of the highest mean log joint density.

    Notes
    -----
    ``len(modes)`` is their number, and a loop over them gives their fits, aligned afresh within
    the mode: component 0 of one mode has nothing to do with component 0 of another.
    """

    fit: Fit
    labels: xr.DataArray

    def __len__(self) -> int:
        return int(self.labels.max()) + 1

    def __getitem__(self, mode: int) -> Fit:
        return self._fits[mode]

    def __iter__(self) -> Iterator[Fit]:
        return iter(self._fits)

    @cached_property
    def _fits(self) -> list[Fit]:
        labels = self.labels.to_numpy()
        if len(self) == 1:
            return [self.fit]
        return [_restricted(self.fit, np.flatnonzero(labels == mode)) for mode in range(len(self))]

    @cached_property
    def weights(self) -> pd.Series:
        """Stacking weight of each mode, computed when first asked for.

        The weights maximise the mean log density of cells left out one at a time under the
        mixture of the modes' predictive distributions, each by PSIS-LOO as :func:`bayesnmf.loo`
        (Yao, Vehtari and Gelman 2022, with chains of one mode together). They are no posterior
        probabilities: from chains that do not mix, those cannot be known.
        """
        index = pd.RangeIndex(len(self), name="mode")
        if len(self) == 1:
            return pd.Series([1.0], index, name="weight")
        return self.compare()["weight"].rename_axis("mode").rename(int).sort_index()

    def compare(self, **options: Any) -> pd.DataFrame:
        """Compare the modes' predictive densities: :func:`bayesnmf.compare` of their fits.

        Parameters
        ----------
        **options
            As for :func:`bayesnmf.compare`. With ``escalate=True`` a refit may end in another
            mode than the one that it is to score.

        Returns
        -------
        DataFrame
            One row a mode, best first.
        """
        return compare({str(mode): fit for mode, fit in enumerate(self)}, **options)

    @property
    def table(self) -> pd.DataFrame:
        """One row a mode, of all that is known; asks for :attr:`weights`, which take a pass of LOO.

        ``chains``; ``log density``: mean log joint density; ``stability``: mean matched cosine of the
        least stable component's row of H; ``converged``: verdict of :func:`bayesnmf.check`
        on the mode's chains; ``weight``.
        """
        table = self._description.assign(weight=self.weights)
        table.attrs["weight"] = MEANING
        return table

    @property
    def _description(self) -> pd.DataFrame:
        rows = []
        for fit in self:
            stats = fit.tree["sample_stats"].dataset
            rows.append(
                {
                    "chains": ", ".join(str(name) for name in fit.chain_modes["chain"].to_numpy()),
                    "log density": float(stats["lp"].mean()) if "lp" in stats else np.nan,
                    "stability": float(stats["match"].mean(("chain", "draw")).min()),
                    "converged": fit.converged,
                }
            )
        return pd.DataFrame(rows, pd.RangeIndex(len(rows), name="mode"))

    @property
    def message(self) -> str:
        """The modes and their chains in words."""
        return f"{len(self)} mode{'s' if len(self) > 1 else ''} ({in_words(self.labels)})"

    def _known(self) -> tuple[pd.DataFrame, str]:
        """Return the table as far as it has been computed, and a note on it."""
        if "weights" in vars(self):
            return self.table, MEANING
        return self._description, "modes.table adds predictive weights"

    def __repr__(self) -> str:
        table, note = self._known()
        return f"{self.message}\n{table.to_string(float_format='{:.4g}'.format)}\n{note}"

    def _repr_html_(self) -> str:
        return fragment("Modes", self.message, *self._known())


def modes(fit: Fit) -> Modes:
    """Tell which chains have found the same factorisation.

    Chains that started apart can end in different factorisations and never meet. Their
    average is none of them, so :attr:`Fit.W`, :attr:`Fit.H`, :attr:`Fit.mean` and
    :meth:`Fit.summary` refuse it, and each mode is read by itself.

    Two chains are in different modes when a matched component that holds 1 % of the mass or more differs
    by a total variation of 0.1 or more (in its row of H or its column of W, as
    distributions), three times what separates the halves of either chain, and the chains' draws
    do not overlap on the line between their means, judged on halves of the chains that did not
    choose the line. Chains that overlap with a common third are in one mode.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`. A fit by MAP or SVI, or of one chain, is one mode.

    Returns
    -------
    Modes
        ``labels``, ``weights``, ``table``, and by position a :class:`Fit` of each mode.

    Notes
    -----
    Chains in one mode can still mix too slowly: that is for :func:`bayesnmf.check` to say. There may
    be modes that no chain has found. The fit of one mode keeps no state to resume from.

    References
    ----------
    Yao, Y., Vehtari, A. and Gelman, A. (2022). Stacking for non-mixing Bayesian computations: the
    curse and blessing of multimodal posteriors. Journal of Machine Learning Research 23(79), 1-45.
    https://jmlr.org/papers/v23/20-1426.html

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(6, 5, 1, "poisson", seed=1)
    >>> result = modes(bn.fit(V, bn.NMF(1), "map", progress=False))
    >>> len(result), result.labels.values.tolist(), result.weights.tolist()
    (1, [0], [1.0])
    """
    return Modes(fit, fit.chain_modes)


def _restricted(fit: Fit, chains: np.ndarray) -> Fit:
    """Return the fit of some of the chains, matched among themselves."""
    groups = {f"/{name}": group.to_dataset() for name, group in fit.tree.children.items()}
    groups = {
        name: group.isel(chain=chains) if "chain" in group.dims else group
        for name, group in groups.items()
    }
    posterior, stats = groups["/posterior"], groups["/sample_stats"]
    W, H, lp, scale = (
        group[name].to_numpy()
        for group, name in ((posterior, "W"), (posterior, "H"), (stats, "lp"), (stats, "scale"))
    )
    aligned = align(W, H, lp, scale, fit.n_identified)
    for name, draws in posterior.data_vars.items():
        dims = [str(dim) for dim in draws.dims[2:]]
        posterior[name] = draws.copy(data=reordered(draws.to_numpy(), dims, aligned.order))
    stats["scale"] = stats["scale"].copy(data=aligned.scale)
    stats["match"] = stats["match"].copy(data=aligned.similarity)
    tree = named(
        xr.DataTree.from_dict(groups),
        carried(posterior.indexes["component"], H, aligned.H, fit.n_identified),
    )
    # The verdict on all chains is not that on these.
    kept = fit.tree.attrs.keys() - {"converged", "message"}
    tree.attrs = {name: value for name, value in fit.tree.attrs.items() if name in kept}
    return finished(tree, fit.model)
