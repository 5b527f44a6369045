"""Components beside known profiles: which is which, and what mixture of them a component is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesnmf.markup import fragment
from bayesnmf.methods.matching import unit_rows
from bayesnmf.posterior.references import Catalogue, Reference, catalogue_of
from bayesnmf.posterior.requirements import require_one_mode
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.summary import column_name, tails_of

#: Cosine from which the message counts a component as found among the references.
ALIKE = 0.9

#: References of a combination that the text names.
NAMED = 3

#: Cosines whose quantiles are found at once.
BLOCK = 2**22


@dataclass(frozen=True)
class Match:
    """Components of a fit beside reference profiles, returned by :func:`bayesnmf.match`.

    Parameters
    ----------
    cosine : DataFrame
        One row a pair: ``component``, ``reference``, and the posterior of the cosine between the
        component's row of H and the reference: ``mean``, and the ends of the interval, named by their
        probabilities (NaN for a single draw). 0 where the component is empty.
    assignment : DataFrame
        One row a component, which is the index: ``reference``, the partner in the one-to-one
        assignment of the largest total mean cosine, with the ``mean`` cosine and its interval. All
        missing where there are fewer references than components.
    combination : DataFrame
        One row a component and each reference of which it holds a part, largest first: ``weight``,
        of the references scaled to sum 1, in the non-negative combination that is closest to the
        component's mean row of H in squares (which sums to 1, too); ``cosine`` of the whole
        combination with that row. An empty component has no rows.
    message : str
        How many components are alike to their partner, in words.
    """

    cosine: pd.DataFrame
    assignment: pd.DataFrame
    combination: pd.DataFrame
    message: str

    @property
    def _shown(self) -> pd.DataFrame:
        """The assignment, with each component's combination in words."""
        words, cosines = {}, {}
        for name, parts in self.combination.groupby("component", sort=False):
            pairs = zip(parts["weight"][:NAMED], parts["reference"][:NAMED], strict=True)
            more = f" + {len(parts) - NAMED} more" if len(parts) > NAMED else ""
            words[name] = " + ".join(f"{weight:.2f} {what}" for weight, what in pairs) + more
            cosines[name] = parts["cosine"].iloc[0]
        index = self.assignment.index
        return self.assignment.assign(
            combination=[words.get(name, "none") for name in index],
            cosine=[cosines.get(name, np.nan) for name in index],
        )

    def __repr__(self) -> str:
        return f"{self.message}\n{self._shown.to_string(float_format='{:.3f}'.format)}"

    def _repr_html_(self) -> str:
        return fragment("Match", self.message, self._shown, float_format="{:.3f}".format)


def match(fit: Fit, reference: Reference, *, ci_prob: float = 0.9) -> Match:
    """Compare components with reference profiles, such as a catalogue of known signatures.

    Three answers: the cosine of every component with every reference; which reference each
    component is, when no two may be the same; and what non-negative mixture of references each
    component is, when it may hold several.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`.
    reference : DataFrame, DataArray, array of shape (reference, column) or Fit
        One row a reference, over the columns of V, of any scale. Labelled columns are matched by
        name with those of V, an array by position. Of another fit, its posterior mean of H without
        empty components.
    ci_prob : float, default 0.9
        Probability of the equal-tailed intervals of the cosines.

    Returns
    -------
    Match
        ``cosine``, ``assignment`` and ``combination``, tables with one row a pair or a component.

    Raises
    ------
    ValueError
        For columns that are not those of V; for a reference that is negative, not finite or zero
        in all columns, or shares its name; for draws of H that are not finite; and when the chains are in several modes, each of which
        can be matched alone (:func:`bayesnmf.modes`).

    Notes
    -----
    Cosines are averaged over draws, so the mean is below the cosine of the mean row of H. A
    combination of many references can imitate any component: a high cosine of a combination of many
    small parts is no proof that they are there. Refit with the references as known components to
    weigh them against the data.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, H = bn.datasets.make_nmf(40, 12, 2, "poisson", seed=1, mean=50.0)
    >>> fit = bn.fit(V, bn.NMF(2), "map", progress=False)
    >>> found = match(fit, pd.DataFrame(H, ["SBS1", "SBS5"]))
    >>> sorted(found.assignment["reference"]), bool((found.assignment["mean"] > 0.9).all())
    (['SBS1', 'SBS5'], True)
    """
    require_one_mode(fit)
    tails = tails_of(ci_prob)
    H = fit.tree["posterior/H"]
    if not np.isfinite(H).all():
        raise ValueError("draws of H are not finite, so they are like nothing: see bn.check(fit)")
    known = catalogue_of(reference, H.indexes["column"])
    names = H["component"].to_numpy()
    draws = H.to_numpy().reshape(-1, *H.shape[2:])
    # Of dims (quantity, component, reference): the mean and the ends of the interval.
    cosines = np.stack([_cosines(draws[:, k], known.profiles, tails) for k in range(len(names))], 1)
    quantities = ["mean", *map(column_name, tails)]
    n_references = len(known.names)
    pairs = {
        "component": np.repeat(names, n_references),
        "reference": np.tile(known.names, len(names)),
    }
    values = {name: x.ravel() for name, x in zip(quantities, cosines, strict=True)}
    assignment = _assignment(cosines, quantities, known, pd.Index(names, name="component"))
    combination = _combination(draws.mean(axis=0), names, known)
    return Match(pd.DataFrame(pairs | values), assignment, combination, _message(assignment))


def _cosines(draws: np.ndarray, profiles: np.ndarray, tails: tuple[float, float]) -> np.ndarray:
    """Return mean and interval of the cosine of one component with every reference.

    Parameters
    ----------
    draws : ndarray of shape (draw, column)
    profiles : ndarray of shape (reference, column)
    tails : tuple of float
        Probabilities below the ends of the interval.

    Returns
    -------
    ndarray of shape (3, reference)
    """
    ours, theirs = unit_rows(draws.astype(np.float64)), unit_rows(profiles)
    step = max(BLOCK // len(draws), 1)
    parts = []
    for begin in range(0, len(theirs), step):
        cosine = np.minimum(ours @ theirs[begin : begin + step].T, 1.0)  # rounding can exceed 1
        ends = np.quantile(cosine, tails, axis=0) * (np.nan if len(draws) == 1 else 1.0)
        parts.append(np.vstack([cosine.mean(axis=0), ends]))
    return np.concatenate(parts, axis=1)


def _assignment(
    cosines: np.ndarray, quantities: list[str], known: Catalogue, names: pd.Index
) -> pd.DataFrame:
    """Return the one-to-one assignment of the largest total mean cosine, one row a component."""
    from scipy.optimize import linear_sum_assignment

    ours, theirs = linear_sum_assignment(cosines[0], maximize=True)
    partner = pd.Series(known.names[theirs], names[ours]).reindex(names)
    table = pd.DataFrame({"reference": partner})
    for name, values in zip(quantities, cosines, strict=True):
        column = np.full(len(names), np.nan)
        column[ours] = values[ours, theirs]
        table[name] = column
    return table


def _combination(mean: np.ndarray, names: np.ndarray, known: Catalogue) -> pd.DataFrame:
    """Return the non-negative combination of references closest to each mean row of H."""
    rows = [
        {"component": name, "reference": known.names[r], "weight": weight, "cosine": cosine}
        for name, profile in zip(names, mean.astype(np.float64), strict=True)
        for r, weight, cosine in _parts(profile, known.profiles)
    ]
    return pd.DataFrame(rows, columns=["component", "reference", "weight", "cosine"])


def _parts(profile: np.ndarray, profiles: np.ndarray) -> Iterator[tuple[int, float, float]]:
    """Yield place and weight of each reference in a combination, largest first, and its cosine."""
    from scipy.optimize import nnls

    weights, _ = nnls(profiles.T, profile, maxiter=max(100, 10 * len(profiles)))
    whole = unit_rows(weights @ profiles)
    cosine = min(float(whole @ unit_rows(profile)), 1.0)
    for r in np.argsort(-weights, kind="stable"):
        if weights[r] > 0:
            yield int(r), float(weights[r]), cosine


def _message(assignment: pd.DataFrame) -> str:
    """Count the components that are alike to their partner, and name the least similar."""
    mean = assignment["mean"].dropna()
    place = int(np.nanargmin(assignment["mean"]))
    least, partner = assignment.index[place], assignment["reference"].iloc[place]
    alike, n_components = int((mean >= ALIKE).sum()), len(assignment)
    alone = n_components - len(mean)
    return (
        f"{alike} of {n_components} component(s) have a cosine of {ALIKE:g} or more with a reference "
        f"of their own; the least similar is {least} with {partner} ({mean.min():.2f})."
        + (f" {alone} have no reference, since there are too few." if alone else "")
    )
