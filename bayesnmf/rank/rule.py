"""The rule that chooses a rank, what each criterion alone would choose, and both in words."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Level of the residual check and of the dispersion check.
LEVEL = 0.05


#: Restarts, or chains, that agree to this cosine have found the same components.
STABLE = 0.9


#: Share of bad Pareto k above which leave-one-out is not to be trusted.
MAX_BAD_K = 0.05


def add_differences(table: pd.DataFrame, elpd_i: np.ndarray) -> pd.DataFrame:
    """Add each rank's elpd relative to the best, and the standard error of that difference.

    Ranks are compared cell by cell, so what makes all of them predict a cell badly cancels.

    Parameters
    ----------
    table : DataFrame
        One row a rank, with a column "elpd".
    elpd_i : ndarray of shape (n_ranks, n_cells)

    Returns
    -------
    DataFrame
        With columns ``elpd_diff`` (0 at the best, negative elsewhere) and ``dse`` after ``se``.
    """
    if table["elpd"].isna().all():
        difference = error = np.full(len(table), np.nan)
    else:
        gap = elpd_i - elpd_i[int(np.nanargmax(table["elpd"]))]
        difference, n = gap.sum(axis=1), gap.shape[1]
        error = np.sqrt(n * gap.var(axis=1, ddof=1)) if n > 1 else np.zeros(len(table))
    added = table.assign(elpd_diff=difference, dse=error)
    names = [name for name in table.columns if name not in ("elpd_diff", "dse")]
    at = names.index("se") + 1
    return added[[*names[:at], "elpd_diff", "dse", *names[at:]]]


def verdicts_of(table: pd.DataFrame) -> dict[str, int | None]:
    """Return the rank that each criterion alone would choose; None where it chooses none.

    Parameters
    ----------
    table : DataFrame
        Of :func:`add_differences`, ranks rising.

    Returns
    -------
    dict of str to int or None
        "residual check": the smallest rank that passes. "elpd": the best. "elpd, one standard
        error": the smallest rank that is as good but for noise. "waic", "elbo": the best, where
        there are any. "ARD": the number of components that it keeps of the largest rank.
        "stability": the largest rank whose components all starts or chains find.
    """
    verdicts: dict[str, int | None] = {
        "residual check": _first(table.index[table["residual_p"] > LEVEL]),
        "elpd": _best(table["elpd"]),
        "elpd, one standard error": _first(table.index[near_best(table)]),
    }
    for name in ("waic", "elbo"):
        if table[name].notna().any():
            verdicts[name] = _best(table[name])
    if "ard" in table and table["ard"].notna().any():
        # Components that are all empty say nothing.
        verdicts["ARD"] = int(table["ard"].dropna().iloc[-1]) or None
    if table["stability"].notna().any():
        stable = table.index[table["stability"] >= STABLE]
        verdicts["stability"] = int(stable[-1]) if len(stable) else None
    return verdicts


def near_best(table: pd.DataFrame) -> np.ndarray:
    """Return which ranks are within one standard error of the best elpd."""
    return (table["elpd_diff"] >= -table["dse"]).to_numpy()


def choose(table: pd.DataFrame) -> int:
    """Return the smallest rank that passes the residual check within one error of the best elpd.

    Where no rank does both, the smallest within one standard error; without an elpd, the smallest that
    passes, or the largest.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"residual_p": [0.01, 0.4, 0.5], "elpd_diff": [-90.0, -1.0, 0.0], "dse": [9.0, 2.0, 0.0]},
    ...     index=[1, 2, 3])
    >>> choose(table)
    2
    """
    near, passes = near_best(table), (table["residual_p"] > LEVEL).to_numpy()
    judged = table["elpd_diff"].notna().any()
    for wanted in (near & passes, near) if judged else (passes,):
        if wanted.any():
            return int(table.index[wanted][0])
    return int(table.index[-1])


def explain(table: pd.DataFrame, best: int, likelihood: str, notes: list[str], limit: int) -> str:
    """Say what was chosen and why, what disagrees, and what to look at.

    Parameters
    ----------
    table : DataFrame
        Of :func:`add_differences`.
    best : int
        The rank chosen.
    likelihood : str
        Name of the likelihood.
    notes : list of str
        What could not be measured.
    limit : int
        The largest rank that could have been asked for.
    """
    sentences = [_reason(table, best)]
    sentences += _edges(table, best, limit)
    others = {
        name: rank
        for name, rank in verdicts_of(table).items()
        if rank not in (best, None) and name != "stability"
    }
    if others:
        listed = ", ".join(f"{name} {rank}" for name, rank in others.items())
        sentences.append(f"Criteria that alone would choose otherwise: {listed}")
    if float(table["stability"][best]) < STABLE:
        sentences.append(
            "Starts or chains disagree about the components at that rank (matched cosine "
            f"{float(table['stability'][best]):.2f})"
        )
    sentences += _noise(table.loc[[best]], likelihood)
    if (table["bad_k"] > MAX_BAD_K).any():
        worst = table["bad_k"].max()
        sentences.append(
            f"Up to {worst:.0%} of the cells have a bad Pareto k, which favours large ranks: check "
            "with criterion='kfold'"
        )
    failed = [str(rank) for rank, value in table["converged"].items() if value == 0]
    if failed:
        sentences.append(f"Fits that did not converge: rank {', '.join(failed)}")
    return ". ".join([*sentences, *dict.fromkeys(note for note in notes if note)]) + "."


def _reason(table: pd.DataFrame, best: int) -> str:
    passes, judged = table["residual_p"] > LEVEL, table["elpd_diff"].notna().any()
    if len(table) == 1:
        return (
            f"Rank {best}, the only one asked for; it {'passes' if passes[best] else 'fails'} the "
            "residual check"
        )
    if passes[best]:
        near = " and is within one standard error of the best elpd" if judged else ""
        return f"Rank {best}: the smallest that passes the residual check{near}"
    if not judged:
        return f"Rank {best}, the largest asked for: none passes the residual check"
    lead = f"Rank {best}: the smallest within one standard error of the best elpd"
    other = _first(table.index[passes])
    if other is None:
        return (
            f"{lead}; no rank passes the residual check, so the data hold structure or noise that "
            "the model lacks"
        )
    return (
        f"{lead}. It fails the residual check, which rank {other} passes, whose elpd is lower by "
        f"{-table['elpd_diff'][other]:.1f} ± {table['dse'][other]:.1f}: look at both"
    )


def _edges(table: pd.DataFrame, best: int, limit: int) -> list[str]:
    if len(table) > 1 and best == table.index[-1] < limit:
        return ["It is the largest rank asked for, so the best one may be higher: ask for more"]
    if len(table) > 1 and best == table.index[0] > 1:
        return ["It is the smallest rank asked for, so the best one may be lower: ask for fewer"]
    return []


def _noise(row: pd.DataFrame, likelihood: str) -> list[str]:
    """Say whether the data scatter more than the model of one row of the table."""
    p, dispersion = float(row["dispersion_p"].iloc[0]), float(row["dispersion"].iloc[0])
    if p > LEVEL or np.isnan(p):
        return []
    hint = "negative_binomial" if likelihood == "poisson" else ""
    advice = f"try likelihood='{hint}'" if hint else "try a likelihood with more noise"
    return [
        f"Overdispersed at that rank (dispersion {dispersion:.3g}, p = {p:.3g}): components may be fitting noise, {advice}"
    ]


def _first(ranks: pd.Index) -> int | None:
    return int(ranks[0]) if len(ranks) else None


def _best(values: pd.Series) -> int | None:
    return None if values.isna().all() else int(values.index[int(values.argmax())])
